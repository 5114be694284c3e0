package actors

import (
	"context"
	"slices"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// find takes over the engines that the node's process before has left running, for the actors of their
// devices. Those whose devices are gone, or whose placement cannot be read, are ended meanwhile.
func (s *System) find(ctx context.Context) {
	s.found = map[spec.DeviceID][]*wire.LoadModel{}
	for _, e := range s.presets.Find(ctx) {
		m, why := placementOf(e, s.devices)
		if why != "" {
			s.presets.Disown(e.Instance, why)
			continue
		}
		s.found[e.Device.ID] = append(s.found[e.Device.ID], m)
	}
}

// placementOf reads what a found engine was placed as, or says why it cannot stay.
func placementOf(e engine.Spec, devices []device.Device) (m *wire.LoadModel, why string) {
	m = &wire.LoadModel{}
	if err := proto.Unmarshal(e.Placement, m); err != nil || m.GetInstance() != string(e.Instance) {
		return nil, "its placement cannot be read"
	}
	if len(e.Others) > 0 {
		return nil, "it runs on several devices, whose memory cannot be taken again while it is in use"
	}
	if !slices.ContainsFunc(devices, func(here device.Device) bool { return here.ID == e.Device.ID }) {
		return nil, "its device " + string(e.Device.ID) + " is not there any more"
	}
	return m, ""
}

// foundOn tells a device's actor, once, what runs there already: an actor that is restarted starts empty.
func (s *System) foundOn(id spec.DeviceID) func() []*wire.LoadModel {
	found := s.found[id]
	var told atomic.Bool
	return func() []*wire.LoadModel {
		if told.Swap(true) {
			return nil
		}
		return found
	}
}

// LeaveEngines has Shutdown leave engines to the node's next process, where they may linger.
func (s *System) LeaveEngines() { s.presets.Leave() }
