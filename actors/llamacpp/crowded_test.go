package llamacpp

import (
	"testing"
	"time"
)

// TestCompany: as many threads stand back as wait for processors, and come back once nobody wants these.
func TestCompany(t *testing.T) {
	c := newCompany(32, time.Second)
	total := time.Second
	look := func(waiting float64) (changed bool) {
		total += time.Duration(waiting * float64(lookEvery))
		return c.add(lookEvery, func() time.Duration { return total })
	}
	if look(crowdedBy) || c.threads != 32 {
		t.Errorf("%d threads though hardly one waits", c.threads)
	}
	if c.add(lookEvery/2, func() time.Duration { t.Error("looked too soon"); return 0 }) {
		t.Error("changed without a look")
	}
	c.computed = 0
	if !look(2.2) || c.threads != 29 {
		t.Errorf("%d of 32 threads though two or three wait", c.threads)
	}
	if look(40); c.threads != 1 || look(40) {
		t.Errorf("%d threads where all wait", c.threads)
	}
	looks := 0
	for ; !look(0); looks++ {
	}
	if looks <= calmLooks || c.threads <= 1 || c.threads >= 32 {
		t.Errorf("%d threads after %d calm looks", c.threads, looks)
	}
	if look(0.3) {
		t.Error("a look that is neither changes something")
	}
	for looks = 1; c.threads < 32; looks++ {
		if look(0); looks > 1000 {
			t.Fatalf("%d threads after %d calm looks", c.threads, looks)
		}
	}
	for range 2 * mostCalm {
		look(0)
	}
	if c.threads != 32 || c.need != calmLooks {
		t.Errorf("%d threads, %d looks are needed, after all is well", c.threads, c.need)
	}
	if total = 0; look(0) {
		t.Error("a thread that has ended is taken for a wait")
	}
}

// Others that come and go at the pace of the looks are tried out ever more rarely.
func TestCompanyIsNotFooled(t *testing.T) {
	c := newCompany(2, 0)
	total, falls := time.Duration(0), 0
	for range 1000 {
		if c.threads == 2 {
			total += lookEvery
		}
		if was := c.threads; c.add(lookEvery, func() time.Duration { return total }) && c.threads < was {
			falls++
		}
	}
	if falls > 12 {
		t.Errorf("two threads were tried %d times in %v", falls, 1000*lookEvery)
	}
}
