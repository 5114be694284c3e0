package pooltest

import (
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// heap is what a process has that serves requests, so that the collector, which empties pools, comes as often as it would there.
var heap = sync.OnceValue(func() []byte { return make([]byte, 64<<20) })

// Compare runs the work of many requests at a time, without the Pool of that name and with it.
func Compare(b *testing.B, name string, work func(*testing.PB)) {
	b.Run(name+"/without", func(b *testing.B) {
		back, ok := pool.Without(name)
		if !ok {
			b.Fatalf("there is no pool %s", name)
		}
		defer back()
		measure(b, 1, work)
	})
	b.Run(name+"/with", func(b *testing.B) { measure(b, 1, work) })
}

// Ways is Compare for what is no Pool, given how it is done without and with, by so many for each processor.
func Ways(b *testing.B, name string, by int, without, with func(*testing.PB)) {
	b.Run(name+"/without", func(b *testing.B) { measure(b, by, without) })
	b.Run(name+"/with", func(b *testing.B) { measure(b, by, with) })
}

func measure(b *testing.B, by int, work func(*testing.PB)) {
	held := heap()
	runtime.GC()
	b.SetParallelism(by)
	b.ReportAllocs()
	b.ResetTimer()
	before := used()
	b.RunParallel(work)
	b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op")
	runtime.KeepAlive(held)
}

// used is the processors' time that the process has had.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // of this process it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
