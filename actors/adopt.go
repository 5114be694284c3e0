package actors

import (
	"context"
	"slices"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// find takes over the engines that the node's process before has left running, for the actors of their
// devices. Those whose devices are gone, or whose placement cannot be read, are ended meanwhile.
func (s *System) find(ctx context.Context) {
	s.found, s.guests = map[spec.DeviceID][]*wire.LoadModel{}, map[spec.DeviceID][]gpu.Guest{}
	for _, e := range s.presets.Find(ctx) {
		m, why := placementOf(e, s.devices)
		if why != "" {
			s.presets.Disown(e.Instance, why)
			continue
		}
		s.found[e.Device.ID] = append(s.found[e.Device.ID], m)
		for _, d := range e.Others {
			s.guests[d.ID] = append(s.guests[d.ID], gpu.Guest{Load: m, Owner: e.Device.ID})
		}
	}
}

// placementOf reads what a found engine was placed as, or says why it cannot stay.
func placementOf(e engine.Spec, devices []device.Device) (m *wire.LoadModel, why string) {
	m = &wire.LoadModel{}
	if err := proto.Unmarshal(e.Placement, m); err != nil || m.GetInstance() != string(e.Instance) {
		return nil, "its placement cannot be read"
	}
	for _, d := range append([]device.Device{e.Device}, e.Others...) {
		if !slices.ContainsFunc(devices, func(here device.Device) bool { return here.ID == d.ID }) {
			return nil, "its device " + string(d.ID) + " is not there any more"
		}
	}
	return m, ""
}

// once tells a device's actor, once, what runs there already: an actor that is restarted starts empty.
func once[T any](found []T) func() []T {
	var told atomic.Bool
	return func() []T {
		if told.Swap(true) {
			return nil
		}
		return found
	}
}

// LeaveEngines has Shutdown leave engines to the node's next process, where they may linger.
func (s *System) LeaveEngines() { s.presets.Leave() }
