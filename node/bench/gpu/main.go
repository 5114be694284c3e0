package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
)

// settings are what a check needs.
type settings struct {
	binary, helper, smi string
	mib                 int // to take on each GPU
	out                 io.Writer
}

func main() {
	s := settings{out: os.Stdout}
	flag.StringVar(&s.binary, "binary", "bin/lotabots", "the lotabots executable")
	flag.StringVar(&s.helper, "helper", "bin/lotabots-engine", "the lotabots-engine executable")
	flag.StringVar(&s.smi, "nvidia-smi", "nvidia-smi", "the nvidia-smi executable")
	flag.IntVar(&s.mib, "mib", 512, "memory to take on each GPU, MiB")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := check(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "check-gpu:", err)
		os.Exit(1)
	}
}

// check tells line by line what it has seen, and fails where that is not what it should be.
func check(ctx context.Context, s settings) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var err error
	if s.helper, err = filepath.Abs(s.helper); err != nil {
		return err
	}
	theirs, smiErr := askSMI(ctx, s.smi)
	config := device.Config{Node: "check", Kind: device.KindNVIDIA, Helper: s.helper, Interval: time.Second}
	devices, err := device.Discover(ctx, config)
	switch {
	case err != nil && len(theirs) > 0:
		return fmt.Errorf("nvidia-smi sees %d GPUs, lotabots-engine none: %w", len(theirs), err)
	case err != nil:
		s.say("no NVIDIA GPU here: nothing was checked (%v)", err)
		return nil
	case smiErr != nil:
		return fmt.Errorf("there are %d GPUs, and no nvidia-smi to compare with: %w", len(devices), smiErr)
	}
	for _, d := range devices {
		s.say("found: %s, %s, %d MiB, driver %s, CUDA %s, slice of %q, %d links %v", d.UUID, d.Name, d.MemoryTotal>>20, d.Driver, d.CUDA, d.Parent, len(d.Links), d.Links)
	}
	return errors.Join(s.telemetry(ctx, config, devices), s.xids(ctx, len(devices)), s.ledger(ctx, devices))
}

func (s settings) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// telemetry compares three readings with what nvidia-smi says at the time.
func (s settings) telemetry(ctx context.Context, c device.Config, devices []device.Device) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	of := map[spec.DeviceID]device.Device{}
	for _, d := range devices {
		of[d.ID] = d
	}
	var failed error
	seen := map[spec.DeviceID]int{}
	device.Watch(ctx, c, devices, func(id spec.DeviceID, r device.Reading) {
		if seen[id]++; seen[id] > 3 {
			if len(seen) == len(devices) {
				stop()
			}
			return
		}
		rows, err := askSMI(ctx, s.smi)
		if err != nil {
			failed = errors.Join(failed, err)
			return
		}
		d := of[id]
		if d.Parent != "" { // nvidia-smi's table has whole GPUs
			s.say("reading of slice %s: %d MiB free, health %s", d.UUID, r.MemoryFree>>20, r.Health)
			return
		}
		differs := compare(d, r, rows[d.UUID])
		s.say("reading of %s: %d MiB free, %.0f C, %.0f W of %.0f W, %d MHz of %d, busy %d%%, slowed by %v, health %s, share %g, ECC %+v, %d processes; nvidia-smi: %v",
			d.UUID, r.MemoryFree>>20, r.TemperatureC, r.PowerW, r.PowerLimitW, r.ClockMHz, r.ClockMaxMHz, r.Utilisation, r.Throttle, r.Health, r.Share, r.ECC,
			len(r.Processes), map[bool]string{true: "agrees", false: fmt.Sprint(differs)}[len(differs) == 0])
		for _, text := range differs {
			failed = errors.Join(failed, fmt.Errorf("%s: %s", d.UUID, text))
		}
	}, func(e device.Event) { s.say("event while it ran: %+v", e) })
	return failed
}

// xids asks whether the driver would report Xids.
func (s settings) xids(ctx context.Context, devices int) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.helper, "devices", "--watch")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	uuids, why, err := watching(out)
	cancel()
	_ = cmd.Wait() // it was told to end
	switch {
	case err != nil:
		return fmt.Errorf("does the driver report Xids? %w", err)
	case len(uuids) == 0:
		return fmt.Errorf("the driver reports no Xids: %s", why)
	}
	s.say("the driver reports Xids of %d GPUs (%d devices) %s", len(uuids), devices, why)
	return nil
}
