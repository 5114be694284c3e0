package gpu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/whole"
)

// Quarantines outlive the actors of the devices, and in a small file the node's
// process: a device that has failed gets no work because somebody restarted, but
// because an operator has resumed it, or the machine was started anew. Any goroutine
// may use it; a nil one keeps nothing.
type Quarantines struct {
	path string // empty: they outlive actors alone
	boot string // of the machine
	wake chan struct{}
	mu   struct {
		sync.Mutex
		devices map[spec.DeviceID]standing
	}
}

// A standing is what is known against a device.
type standing struct {
	Fault    device.Event    `json:"fault"`    // no Kind: none
	Accepted device.Baseline `json:"accepted"` // that an operator has resumed it with
}

type quarantineFile struct {
	Boot    string                     `json:"boot"`
	Devices map[spec.DeviceID]standing `json:"devices"`
}

const (
	maxQuarantineFile = 1 << 20
	maxFaultText      = 1 << 10
)

// OpenQuarantines reads the file, where there is one: what it holds is forgotten if
// the machine was started since, or if it is damaged, which is an error; the
// Quarantines returned are good nevertheless.
func OpenQuarantines(path string) (*Quarantines, error) {
	q := &Quarantines{path: path, boot: machineBoot(), wake: make(chan struct{}, 1)}
	q.mu.devices = map[spec.DeviceID]standing{}
	if path == "" {
		return q, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return q, nil
	}
	if err != nil {
		return q, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxQuarantineFile+1))
	if err != nil {
		return q, err
	}
	devices, err := parseQuarantines(raw, q.boot)
	if err != nil {
		return q, fmt.Errorf("%s is damaged, and what it told of devices in quarantine is forgotten: %w", path, err)
	}
	q.mu.devices = devices
	return q, nil
}

func parseQuarantines(raw []byte, boot string) (map[spec.DeviceID]standing, error) {
	var file quarantineFile
	if len(raw) > maxQuarantineFile {
		return nil, fmt.Errorf("it has more than %d bytes", maxQuarantineFile)
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, err
	}
	out := map[spec.DeviceID]standing{}
	if boot == "" || file.Boot != boot {
		return out, nil
	}
	for id, s := range file.Devices {
		switch k := s.Fault.Kind; {
		case k != "" && k != device.DeviceFault && k != device.Gone, len(s.Fault.Text) > maxFaultText:
			return nil, fmt.Errorf("of %.100s it tells of a fault that is none", id)
		}
		if s.Fault.Kind == device.Gone {
			s.Fault = device.Event{} // whoever looks for devices now finds it, or it has no actor
		}
		out[id] = s
	}
	return out, nil
}

// machineBoot tells one start of the machine from another; empty: that is not known.
func machineBoot() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// of is what is known against the device.
func (q *Quarantines) of(id spec.DeviceID) standing {
	if q == nil {
		return standing{}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.devices[id]
}

// note keeps what is known against the device. It does not block.
func (q *Quarantines) note(id spec.DeviceID, s standing) {
	if q == nil {
		return
	}
	s.Fault.Text = clip(s.Fault.Text, maxFaultText)
	q.mu.Lock()
	q.mu.devices[id] = s
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Keep saves what is new, and returns when ctx ends. failed is told of what failed,
// which is tried again with the next change or after a while.
func (q *Quarantines) Keep(ctx context.Context, failed func(error)) {
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	save := func() {
		if err := q.save(); err != nil {
			failed(err)
			again.Reset(time.Minute)
		}
	}
	for {
		select {
		case <-ctx.Done():
			select {
			case <-q.wake:
				save()
			default:
			}
			return
		case <-q.wake:
			save()
		case <-again.C:
			save()
		}
	}
}

func (q *Quarantines) save() error {
	if q.path == "" {
		return nil
	}
	q.mu.Lock()
	raw, err := json.Marshal(quarantineFile{q.boot, q.mu.devices})
	q.mu.Unlock()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(q.path), 0o700); err != nil {
		return err
	}
	return whole.Write(q.path, raw)
}
