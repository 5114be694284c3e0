package leash

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errGone = errors.New("gone")

type told chan error

func (t told) Ended(cause error) { t <- cause }

func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Leash
		l.Begin(context.Background(), time.Time{})
		var all []told
		var ties [5]Tie
		for i := range ties {
			h := make(told, 1)
			all = append(all, h)
			if !l.Hold(&ties[i], h) {
				t.Fatal("does not hold before its end")
			}
		}
		if !l.Let(&ties[1]) || !l.Let(&ties[3]) || l.Let(&ties[3]) || l.Let(new(Tie)) {
			t.Error("lets go of what it does not hold, or not of what it does")
		}
		if l.Err() != nil || l.Cause() != nil || context.Cause(&l) != nil {
			t.Error("has ended by itself")
		}
		done := l.Done()
		l.End(errGone)
		l.End(errors.New("later"))
		<-done
		synctest.Wait()
		for i, h := range all {
			select {
			case cause := <-h:
				if i == 1 || i == 3 || cause != errGone {
					t.Errorf("%d is told %v", i, cause)
				}
			default:
				if i != 1 && i != 3 {
					t.Errorf("%d is told nothing", i)
				}
			}
		}
		if l.Err() != context.Canceled || l.Cause() != errGone || Cause(&l) != errGone || l.Hold(&ties[0], all[0]) || l.Let(&ties[0]) {
			t.Errorf("after its end: %v, %v, %v", l.Err(), l.Cause(), Cause(&l))
		}
	})
}

// TestAbove: a leash ends with what it was begun under, by its cause, and lets go of it where it ends before.
func TestAbove(t *testing.T) {
	kinds := map[string]func() (context.Context, func(error), func() bool){
		"leash": func() (context.Context, func(error), func() bool) {
			l := new(Leash)
			l.Begin(context.Background(), time.Time{})
			return l, l.End, func() bool { return l.mu.first == nil }
		},
		"standard": func() (context.Context, func(error), func() bool) {
			ctx, cancel := context.WithCancelCause(context.Background())
			return ctx, cancel, func() bool { return true }
		},
		"derived": func() (context.Context, func(error), func() bool) {
			l := new(Leash)
			l.Begin(context.Background(), time.Time{})
			return context.WithValue(l, told(nil), 1), l.End, func() bool { return true }
		},
	}
	for name, kind := range kinds {
		synctest.Test(t, func(t *testing.T) {
			ctx, end, free := kind()
			var early, l, late Leash
			early.Begin(ctx, time.Time{})
			early.End(nil)
			l.Begin(ctx, time.Time{})
			end(errGone)
			<-l.Done()
			late.Begin(ctx, time.Time{})
			synctest.Wait()
			if early.Cause() != context.Canceled || l.Cause() != errGone || late.Cause() != errGone || !free() {
				t.Errorf("%s: %v, %v, %v", name, early.Cause(), l.Cause(), late.Cause())
			}
		})
	}
}

// TestDerived: the standard library's contexts end with the leash that they are derived from.
func TestDerived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Leash
		due := time.Now().Add(time.Hour)
		l.Begin(context.WithValue(context.Background(), told(nil), "v"), due)
		child, cancel := context.WithCancel(&l)
		defer cancel()
		valued := context.WithValue(&l, told(nil), "w")
		ran := make(chan error, 1)
		stop := context.AfterFunc(valued, func() { ran <- Cause(valued) })
		defer stop()
		unused := context.AfterFunc(&l, func() { t.Error("runs though it was stopped") })
		if !unused() || unused() {
			t.Error("what has not run cannot be stopped once")
		}
		if at, ok := child.Deadline(); !ok || !at.Equal(due) || child.Value(told(nil)) != "v" {
			t.Errorf("deadline %v, value %v", at, child.Value(told(nil)))
		}
		l.End(context.DeadlineExceeded)
		<-child.Done()
		if err := <-ran; err != context.DeadlineExceeded || child.Err() != context.DeadlineExceeded || l.Err() != context.DeadlineExceeded {
			t.Errorf("ended by %v, %v, %v", err, child.Err(), l.Err())
		}
		apart, leave := context.WithCancel(context.WithoutCancel(&l))
		leave()
		if Cause(apart) != context.Canceled {
			t.Errorf("what is detached ends by %v", Cause(apart))
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	type work struct {
		attempt, engine Leash
		tie             Tie
	}
	h := make(told, 1)
	if n := testing.AllocsPerRun(100, func() {
		w := &work{}
		w.attempt.Begin(context.Background(), time.Time{})
		w.engine.Begin(&w.attempt, time.Now())
		if !w.engine.Hold(&w.tie, h) || !w.engine.Let(&w.tie) || w.engine.Err() != nil {
			t.Fatal("does not hold")
		}
		w.engine.End(nil)
		w.attempt.End(nil)
	}); n > 1 {
		t.Errorf("%v allocations beside the work's own", n-1)
	}
}
