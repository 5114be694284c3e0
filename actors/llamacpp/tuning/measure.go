package tuning

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// A Measurer tries one variant for about the time given, in a process of its own: a build that does not
// fit the processor may end it. An empty variant is llama.cpp's choice.
type Measurer func(ctx context.Context, variant string, within time.Duration) []Result

// Budget bounds what a first start spends on measuring.
const Budget = 4 * time.Second

// For is the choice for these libraries and a model of this size: the one kept, or else what is measured
// now. False: nothing is known, and llama.cpp's own choice stands.
func For(ctx context.Context, libraries string, modelBytes int64, measure Measurer, log *slog.Logger) (Choice, bool) {
	file, err := File()
	if err != nil {
		return Choice{}, false
	}
	key, err := Key(libraries, modelBytes)
	if err != nil {
		return Choice{}, false
	}
	return forKey(ctx, file, key, libraries, measure, log)
}

func forKey(ctx context.Context, file, key, libraries string, measure Measurer, log *slog.Logger) (Choice, bool) {
	crowded := isBusy()
	if c, ok := Known(file, key); ok && (!c.Busy || crowded) {
		return c, true
	}
	unlock, err := lock(ctx, file+".lock")
	if err != nil {
		log.Info("the processor is not measured", "error", err)
		return Known(file, key)
	}
	defer unlock()
	known, ok := Known(file, key) // by who held the lock before
	if ok && (!known.Busy || crowded) {
		return known, true
	}
	began := time.Now()
	c, measured := Choose(all(ctx, libraries, measure))
	switch {
	case ctx.Err() != nil, !measured && time.Since(began) < Budget:
		return known, ok
	case !measured: // it takes too long, and would the next time
		c = Choice{Threads: Cores(), BatchThreads: Cores()}
	}
	c.Measured, c.Busy = time.Now().UTC().Truncate(time.Second), crowded || isBusy()
	if err := Keep(file, key, c); err != nil {
		log.Info("the measurement is not kept", "error", err)
	}
	log.Info("measured", "variant", c.Variant, "threads", c.Threads, "batch_threads", c.BatchThreads,
		"prefill_tps", int(c.Prefill), "decode_tps", int(c.Decode), "busy", c.Busy)
	return c, true
}

func isBusy() bool {
	loadavg, err := os.ReadFile("/proc/loadavg")
	return err == nil && busy(loadavg, Cores())
}

// all measures the variants in turn, and then again those that ran, until the time is over: what disturbed
// one the first time does not the second.
func all(ctx context.Context, libraries string, measure Measurer) (results []Result) {
	end := time.Now().Add(Budget)
	share := Budget / 12
	try := func(variants []string) (ran []string) {
		for _, v := range variants {
			if ctx.Err() != nil || time.Until(end) < share/2 {
				break
			}
			if found := measure(ctx, v, share); len(found) > 0 {
				results, ran = append(results, found...), append(ran, v)
			}
		}
		return ran
	}
	variants, others := Variants(libraries)
	ran := try(variants)
	if len(ran) == 0 {
		ran = try(append(others, "")) // a library may have no variants
	}
	try(ran)
	return results
}

// lock waits until no other process holds the file, or long enough for it to have measured.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*Budget)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
