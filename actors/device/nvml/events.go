//go:build cgo && linux

package nvml

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

const (
	eventWait  = 500 // milliseconds; bounds how long the end is waited for
	eventPause = time.Second
	noInstance = 0xFFFFFFFF // the driver's number for "no slice"
)

// follow tells of Xids until ctx ends. Where the driver reports none, it says so and ends.
func follow(ctx context.Context, lib nvml.Interface, all []found, told Told) error {
	set, code := lib.EventSetCreate()
	if code != nvml.SUCCESS {
		return told.Watching(nil, fmt.Errorf("the driver has no events: %s", name(code)))
	}
	defer func() { _ = set.Free() }() // the session ends with it
	watched, why := register(set, all)
	if err := told.Watching(watched, why); err != nil || len(watched) == 0 {
		return err
	}
	for ctx.Err() == nil {
		data, code := set.Wait(eventWait)
		switch code {
		case nvml.SUCCESS:
			for _, e := range eventsOf(data, all) {
				if err := told.Event(e); err != nil {
					return err
				}
			}
		case nvml.ERROR_TIMEOUT:
		default: // a GPU that is lost answers so at once, each time; the readings tell which
			select {
			case <-time.After(eventPause):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// register asks for the Xids of each physical GPU, and returns those that report any.
func register(set nvml.EventSet, all []found) (watched []string, why error) {
	seen := map[string]bool{}
	for _, f := range all {
		id := f.physical()
		if f.gpu == nil || id == "" || seen[id] {
			continue
		}
		seen[id] = true
		kinds, code := f.gpu.GetSupportedEventTypes()
		if code == nvml.SUCCESS && kinds&nvml.EventTypeXidCriticalError == 0 {
			code = nvml.ERROR_NOT_SUPPORTED
		}
		if code == nvml.SUCCESS {
			code = f.gpu.RegisterEvents(nvml.EventTypeXidCriticalError, set)
		}
		if code != nvml.SUCCESS {
			why = errors.Join(why, fmt.Errorf("GPU %s: %s", id, name(code)))
			continue
		}
		watched = append(watched, id)
	}
	return watched, why
}

// eventsOf is the Xid as an event of the devices that it concerns: the slice that the driver names,
// else every slice of the GPU.
func eventsOf(data nvml.EventData, all []found) (events []Event) {
	if data.EventType != nvml.EventTypeXidCriticalError || data.Device == nil {
		return nil
	}
	uuid, code := data.Device.GetUUID()
	if code != nvml.SUCCESS {
		return nil
	}
	for _, f := range all {
		named := f.uuid == uuid || f.parent == uuid
		if named && (f.parent == "" || data.GpuInstanceId == noInstance || data.GpuInstanceId == f.slice) {
			events = append(events, Event{UUID: f.uuid, Xid: data.EventData})
		}
	}
	return events
}
