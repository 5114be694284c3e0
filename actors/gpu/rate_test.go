package gpu

import (
	"testing"
	"time"
)

func TestRateFollows(t *testing.T) {
	r, now := rate{}, traceEpoch
	if got := r.at(now); got != 0 {
		t.Errorf("nothing was noted: %v", got)
	}
	for range 1000 { // 50 a second
		now = now.Add(100 * time.Millisecond)
		r.note(5, now)
	}
	if got := r.at(now); got < 49 || got > 51 {
		t.Errorf("%v a second, want 50", got)
	}
	if got := r.at(now.Add(rateSpan)); got < 17 || got > 20 {
		t.Errorf("%v a second after a while without, want a third", got)
	}
	if got := r.at(now.Add(time.Hour)); got != 0 {
		t.Errorf("%v a second long after", got)
	}
	r.note(-5, now.Add(-time.Hour)) // clocks and engines may say anything
	if got := r.at(now); got < 0 {
		t.Errorf("%v a second", got)
	}
}
