package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// fixedRate sends so many requests a second for a while, whether or not those before
// were answered, over at most n connections. A request's time counts from when it was
// due, so that one that waits for another's end shows it.
func fixedRate(ctx context.Context, t target, n, rate int, length time.Duration) ([]time.Duration, error) {
	took, errs := make([][]time.Duration, n), make([]error, n)
	due, count := atomic.Int64{}, int64(float64(rate)*length.Seconds())
	began := time.Now()
	var working sync.WaitGroup
	for i := range n {
		working.Go(func() {
			c := t.connect(false)
			defer c.close()
			for ctx.Err() == nil {
				at := due.Add(1) - 1
				if at >= count {
					return
				}
				when := began.Add(time.Duration(at) * time.Second / time.Duration(rate))
				time.Sleep(time.Until(when))
				if errs[i] = c.send(); errs[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(when))
			}
		})
	}
	working.Wait()
	var all []time.Duration
	for _, part := range took {
		all = append(all, part...)
	}
	return all, errors.Join(append(errs, ctx.Err())...)
}
