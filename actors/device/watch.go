package device

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Watch reads the devices that Discover found for the same c, and tells about each at every interval,
// until ctx ends. It tells of events as they come. Calls to told and happened come from one goroutine,
// one at a time; the first come at once.
func Watch(ctx context.Context, c Config, devices []Device, told func(spec.DeviceID, Reading), happened func(Event)) {
	c = c.withDefaults()
	alone := told
	told = func(d spec.DeviceID, r Reading) {
		r.Load = machineLoad()
		alone(d, r)
	}
	if len(devices) > 0 && devices[0].Kind == KindNVIDIA { // Discover never mixes kinds
		w := &gpuWatch{c: c, devices: devices, told: told, happened: happened, shares: map[spec.DeviceID]float64{}}
		w.run(ctx)
		return
	}
	meter, pretend := cpuMeter{}, newPretender(c)
	tick := time.NewTicker(c.Interval)
	defer tick.Stop()
	for {
		pretend.look()
		for _, d := range devices {
			if d.Kind == KindSimulated {
				r, events := pretend.read(d)
				told(d.ID, r)
				for _, e := range events {
					happened(e)
				}
			} else {
				told(d.ID, meter.read(ctx, d))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// A gpuWatch keeps a helper running that reads the GPUs. GPUs whose helper is lost, or that the helper
// no longer shows, are told as ill: work must not go where nobody sees what happens.
type gpuWatch struct {
	c        Config
	devices  []Device
	told     func(spec.DeviceID, Reading)
	happened func(Event)
	seen     map[string]time.Time      // by UUID, in the running session
	shares   map[spec.DeviceID]float64 // of the last readings
}

const (
	firstWait  = time.Second // before a lost helper is started again
	longestRun = time.Minute // of one helper, after which its loss counts as a first one
	mostWait   = 30 * time.Second
	patience   = 2 * time.Second // beyond three intervals, until a GPU without readings counts as lost
	hang       = 15 * time.Second
)

func (w *gpuWatch) run(ctx context.Context) {
	wait := min(firstWait, w.c.Interval)
	for {
		begin := time.Now()
		err := w.session(ctx)
		if ctx.Err() != nil {
			return
		}
		w.c.Log.Error("the GPUs' sensors are lost; the helper is started again", "error", err, "in", wait)
		for _, d := range w.devices {
			w.told(d.ID, Reading{Health: fmt.Sprintf("its sensors cannot be read: %.150s", err)})
		}
		if time.Since(begin) > longestRun {
			wait = min(firstWait, w.c.Interval)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, mostWait)
	}
}

// session runs one helper to its end, or until it has said nothing for too long.
func (w *gpuWatch) session(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := helperCommand(ctx, w.c, "devices", "--watch", "--interval", w.c.Interval.String())
	var complaint bytes.Buffer
	cmd.Stderr = &boundedBuffer{to: &complaint}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	told := make(chan []byte)
	go lines(ctx, bufio.NewScanner(out), told)
	err = w.listen(ctx, told)
	stop()
	for range told { // the reader ends before Wait closes its pipe
	}
	ended := cmd.Wait()
	if ended == nil {
		ended = errors.New("without a failure")
	}
	return errors.Join(err, fmt.Errorf("the helper ended: %w%s", ended, said(complaint.String())))
}

// listen tells what the lines say, and of GPUs that have no lines, until the lines or ctx end.
func (w *gpuWatch) listen(ctx context.Context, told <-chan []byte) error {
	w.seen = map[string]time.Time{}
	begin, heard := time.Now(), time.Now()
	tick := time.NewTicker(w.c.Interval)
	defer tick.Stop()
	for {
		select {
		case raw, ok := <-told:
			if !ok {
				return nil
			}
			heard = time.Now()
			w.tell(raw)
		case <-tick.C:
			if since := time.Since(heard); since > hang+3*w.c.Interval {
				return fmt.Errorf("the helper has said nothing for %s", since.Round(time.Second))
			}
			w.tellMissing(begin)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *gpuWatch) tell(raw []byte) {
	l, err := parseLine(raw)
	if err != nil {
		w.c.Log.Warn("a line of the helper's is left aside", "error", err)
		return
	}
	switch {
	case l.Event != nil:
		w.tellEvent(*l.Event)
		return
	case l.Watching != nil && l.Watching.Why != "":
		w.c.Log.Warn("faults of some GPUs are not told by the driver", "told", len(l.Watching.UUIDs), "reason", fmt.Sprintf("%.300s", l.Watching.Why))
		return
	case l.Watching != nil:
		w.c.Log.Info("the driver tells faults of GPUs", "gpus", len(l.Watching.UUIDs))
		return
	}
	for _, d := range w.devices {
		// what is left of a GPU that is lost does not list its slices
		if l.UUID != "" && (d.UUID == l.UUID || d.Parent == l.UUID && l.Health != Healthy) {
			w.seen[d.UUID] = time.Now()
			r := l.reading()
			w.shares[d.ID] = nextShare(w.shares[d.ID], r)
			r.Share = stepped(w.shares[d.ID])
			w.told(d.ID, r)
		}
	}
}

// tellEvent tells what happened to the device, or to the GPU that devices are slices of.
func (w *gpuWatch) tellEvent(l lineEvent) {
	for _, d := range w.devices {
		if d.UUID == l.UUID || d.Parent == l.UUID {
			e := XidEvent(int(l.Xid), int(l.PID))
			e.Device = d.ID
			w.happened(e)
		}
	}
}

func (w *gpuWatch) tellMissing(begin time.Time) {
	for _, d := range w.devices {
		last := w.seen[d.UUID]
		if last.IsZero() {
			last = begin
		}
		if time.Since(last) > 3*w.c.Interval+patience {
			w.told(d.ID, Reading{Health: "lost: the driver does not show it"})
		}
	}
}

// A boundedBuffer keeps the last bytes of what is written to it.
type boundedBuffer struct{ to *bytes.Buffer }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	const most = 4 << 10
	b.to.Write(p[max(0, len(p)-most):])
	if over := b.to.Len() - most; over > 0 {
		b.to.Next(over)
	}
	return len(p), nil
}
