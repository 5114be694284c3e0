package llamacpp

import (
	"runtime"
	"testing"
	"time"
)

// TestCompany: threads stand back where one waits for a processor, and come back once nobody else wants it.
func TestCompany(t *testing.T) {
	c := newCompany(32)
	look := func(share float64) (changed bool) {
		return c.add(32, lookEvery, time.Duration((1-share)*float64(lookEvery)))
	}
	if look(crowdedShare-0.01) || c.threads != 32 {
		t.Errorf("%d threads though hardly anybody waits", c.threads)
	}
	if c.add(32, lookEvery/2, 0) || c.threads != 32 {
		t.Error("looked too soon")
	}
	if !look(0.3) || c.threads != 16 {
		t.Errorf("%d of 32 threads though they wait", c.threads)
	}
	if !c.add(4, lookEvery, 0) || c.threads != 2 {
		t.Errorf("%d threads where four were too many", c.threads)
	}
	if !look(1) || look(1) || c.threads != 1 {
		t.Errorf("%d threads where one is too many", c.threads)
	}
	looks := 0
	for ; !look(0); looks++ {
	}
	if looks <= calmLooks || c.threads <= 1 || c.threads >= 32 {
		t.Errorf("%d threads after %d calm looks", c.threads, looks)
	}
	if look(0.1) {
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
}

// Others that come and go at the pace of the looks are tried out ever more rarely.
func TestCompanyIsNotFooled(t *testing.T) {
	c := newCompany(2)
	falls := 0
	for range 1000 {
		had := lookEvery
		if c.threads == 2 {
			had = lookEvery / 2
		}
		if was := c.threads; c.add(was, lookEvery, had) && c.threads < was {
			falls++
		}
	}
	if falls < 2 || falls > 12 {
		t.Errorf("two threads were tried %d times in %v", falls, 1000*lookEvery)
	}
}

// TestThreadTime: a thread that computes has a processor, one that sleeps has none.
func TestThreadTime(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	at := threadTime()
	for until := time.Now().Add(time.Minute); threadTime()-at < 20*time.Millisecond; {
		if time.Now().After(until) {
			t.Fatal("it never had one")
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	at = threadTime()
	time.Sleep(50 * time.Millisecond)
	if had := threadTime() - at; had > 25*time.Millisecond {
		t.Errorf("it had one for %v asleep", had)
	}
}
