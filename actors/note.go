package actors

import (
	"maps"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// Note is what the node has to tell of itself beside its devices' digests: which
// presets it has, and what its instances were measured to take. It looks for
// programs on the disk.
func (s *System) Note() *wire.NodeNote {
	n := &wire.NodeNote{Node: string(s.cfg.Node)}
	if len(s.devices) == 0 {
		return n
	}
	for _, t := range s.presets.Told() {
		p := &wire.Preset{Name: t.Name, Version: t.Version, Capabilities: t.Capabilities, Lacks: t.Lacks, Own: t.Own, OptionsTold: t.Own}
		for _, name := range slices.Sorted(maps.Keys(t.Options)) {
			p.Options = append(p.Options, &wire.PresetOption{Name: name, Type: t.Options[name]})
		}
		n.Presets = append(n.Presets, p)
	}
	n.Learnt = s.memory.Tell(time.Now())
	return n
}
