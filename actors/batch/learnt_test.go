package batch

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestWhatIsLearntIsTriedAgain: an engine that takes more again gets more, by steps; one
// that does not is asked more and more seldom, and what it takes is not forgotten.
func TestWhatIsLearntIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Millisecond, most: 16}
		b := f.batcher(t)
		largest := func() (most int) {
			f.sizes = nil
			for i, a := range together(b, usual, 65, plain, nil) {
				mustServe(t, i, a, plain(i))
			}
			for _, n := range f.sizes {
				most = max(most, n)
			}
			return most
		}
		if n := largest(); n != 64 {
			t.Fatalf("the first time %d went together", n)
		}
		if n := largest(); n != 16 {
			t.Fatalf("once it is learnt %d go together", n)
		}
		refused := 0
		for range 60 {
			time.Sleep(time.Minute)
			if n := largest(); n > 16 {
				refused++
			}
			if n := largest(); n != 16 {
				t.Fatalf("after it was learnt again %d go together", n)
			}
		}
		if refused == 0 || refused > 7 {
			t.Errorf("in an hour more was tried %d times", refused)
		}
		f.most = 0
		for range 24 {
			time.Sleep(time.Hour)
			largest()
		}
		if n := largest(); n != 64 {
			t.Errorf("a day later %d go together", n)
		}
	})
}

// TestAPanicIsNobodysEnd: who was served gets an error that tells nothing of it, and the
// next ones are served.
func TestAPanicIsNobodysEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Millisecond}
		b := f.batcher(t)
		open := b.cfg.Open
		b.cfg.Open = nil
		for i, a := range together(b, usual, 5, plain, nil) {
			if spec.CodeOf(a.err) != spec.CodeInternal || strings.Contains(fmt.Sprint(a.err), "nil pointer") {
				t.Errorf("request %d: %+v", i, a)
			}
		}
		b.cfg.Open = open
		for i, a := range together(b, usual, 5, plain, nil) {
			mustServe(t, i, a, plain(i))
		}
		if n := b.Callers(where.Instance); n != 0 {
			t.Errorf("%d callers are left", n)
		}
	})
}
