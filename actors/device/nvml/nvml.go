//go:build cgo && linux

package nvml

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"golang.org/x/sync/errgroup"
)

// Compiled says whether this build can see GPUs.
const Compiled = true

// processEvery is how often the processes of a GPU are asked for: it takes the driver longest.
const processEvery = 10 * time.Second

// List gives each GPU and each MIG slice to show. A machine without NVML has no GPUs, which is no error.
func List(show func(Device) error) error {
	return with(nvml.New(), func(s *session) error { return s.list(show) })
}

// Watch tells of each GPU at every interval, and of Xids as they come, until ctx ends. A machine
// without NVML has none, and Watch returns at once.
func Watch(ctx context.Context, every time.Duration, told Told) error {
	return with(nvml.New(), func(s *session) error { return s.watch(ctx, every, told) })
}

// with runs do between Init and Shutdown of lib: any call outside of them aborts the process.
func with(lib nvml.Interface, do func(*session) error) (err error) {
	switch code := lib.Init(); code {
	case nvml.SUCCESS:
	case nvml.ERROR_LIBRARY_NOT_FOUND, nvml.ERROR_DRIVER_NOT_LOADED, nvml.ERROR_NO_PERMISSION:
		return nil
	default:
		return fmt.Errorf("start NVML: %s", name(code))
	}
	defer func() {
		if code := lib.Shutdown(); code != nvml.SUCCESS {
			err = errors.Join(err, fmt.Errorf("stop NVML: %s", name(code)))
		}
	}()
	return do(&session{lib: lib, known: map[int]string{}, processes: map[string][]Process{}})
}

// name is the text of a code; the library's own text needs the library.
func name(code nvml.Return) string { return nvml.ErrorString(code) }

// A session is the time between Init and Shutdown. One goroutine calls its methods, but for follow.
type session struct {
	lib       nvml.Interface
	known     map[int]string       // UUIDs of physical GPUs by index, so that a lost one still has a name
	processes map[string][]Process // by UUID, as of asked
	asked     time.Time
}

// has tells whether the driver's library knows the function: calling one that it lacks ends the process.
func (s *session) has(symbol string) bool { return s.lib.Extensions().LookupSymbol(symbol) == nil }

// list shows every device once, with what does not change.
func (s *session) list(show func(Device) error) error {
	found, err := s.scan()
	if err != nil {
		return err
	}
	driver, _ := s.lib.SystemGetDriverVersion()
	cuda := ""
	if v, code := s.lib.SystemGetCudaDriverVersion(); code == nvml.SUCCESS {
		cuda = fmt.Sprintf("%d.%d", v/1000, v%1000/10)
	}
	links := topology(found)
	for _, f := range found {
		d := s.read(f, true)
		if f.handle != nil {
			d.Parent, d.Driver, d.CUDA, d.Links = f.parent, driver, cuda, links[f.physical()]
		}
		if err := show(d); err != nil {
			return err
		}
	}
	return nil
}

// watch reads at every interval, and follows the events meanwhile.
func (s *session) watch(ctx context.Context, every time.Duration, told Told) error {
	found, err := s.scan()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return follow(ctx, s.lib, found, told) })
	g.Go(func() error {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			if err := s.sample(told.Device); err != nil {
				return err
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	})
	return g.Wait()
}

func (s *session) sample(show func(Device) error) error {
	found, err := s.scan() // slices come and go, and so do GPUs
	if err != nil {
		return err
	}
	fresh := time.Since(s.asked) >= processEvery
	if fresh {
		s.asked = time.Now()
	}
	for _, f := range found {
		if err := show(s.read(f, fresh)); err != nil {
			return err
		}
	}
	return nil
}
