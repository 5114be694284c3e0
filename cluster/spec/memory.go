package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// AdaptiveSlots is an option of every preset, by which no engine goes: on or off, whether the requests that an
// instance takes at a time are found, within what the engine takes. Without it that is as the preset has it.
const AdaptiveSlots = "adaptive-slots"

// MemoryFlags are those settings of an instance that its memory depends on beside its
// model and engine, as one text: what nodes learn of memory is told under it.
func MemoryFlags(context, slots uint32, options map[string]string, devices, adapters int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "context=%d slots=%d", context, slots)
	if devices > 1 {
		fmt.Fprintf(&b, " devices=%d", devices)
	}
	if adapters > 0 {
		fmt.Fprintf(&b, " adapters=%d", adapters)
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if name == AdaptiveSlots {
			continue
		}
		fmt.Fprintf(&b, " %s=%q", name, options[name])
	}
	return b.String()
}
