package llamacpp

import (
	"testing"
	"time"
)

// TestCompany: threads that wait for processors soon compute alone, and together again once they have had
// the processors to themselves for a while.
func TestCompany(t *testing.T) {
	var c company
	var total time.Duration
	step := func(waits time.Duration) (changed bool) {
		total += waits
		return c.add(lookEvery, func() time.Duration { return total })
	}
	if step(lookEvery/3) || c.crowded {
		t.Error("crowded by a third of a thread's wait")
	}
	if c.add(lookEvery/2, func() time.Duration { t.Error("looked at too soon"); return 0 }) {
		t.Error("changed without a look")
	}
	if total += 2 * lookEvery; !c.add(lookEvery, func() time.Duration { return total }) || !c.crowded {
		t.Error("not crowded though more than a thread waits")
	}
	for range calmLooks - 1 {
		if step(0) || !c.crowded {
			t.Fatal("together again too soon")
		}
	}
	if step(lookEvery/4) || !c.crowded {
		t.Error("together again though a quarter is waited")
	}
	for i := range calmLooks {
		if changed := step(0); changed != (i == calmLooks-1) {
			t.Errorf("calm look %d: changed %t", i, changed)
		}
	}
	if total = 0; c.crowded || step(0) {
		t.Error("a thread that has ended is taken for a wait")
	}
}
