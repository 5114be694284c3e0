//go:build cgo && linux

package nvml

import "github.com/NVIDIA/go-nvml/pkg/nvml"

// topology says of each physical GPU how it reaches the others. Slices have the links of their GPU:
// CUDA lets a process see one slice alone, so nothing is ever spread over them.
func topology(all []found) map[string][]Link {
	links := map[string][]Link{}
	seen := map[string]nvml.Device{}
	var order []string
	for _, f := range all {
		if id := f.physical(); f.gpu != nil && id != "" && seen[id] == nil {
			seen[id] = f.gpu
			order = append(order, id)
		}
	}
	for _, from := range order {
		for _, to := range order {
			if from == to {
				continue
			}
			if by := between(seen[from], seen[to]); by != "" {
				links[from] = append(links[from], Link{To: to, By: by})
			}
		}
	}
	return links
}

// between names the shortest way between two GPUs; "": none that is worth a name.
func between(a, b nvml.Device) string {
	if p2p, code := a.GetP2PStatus(b, nvml.P2P_CAPS_INDEX_NVLINK); code == nvml.SUCCESS && p2p == nvml.P2P_STATUS_OK {
		return "nvlink"
	}
	level, code := a.GetTopologyCommonAncestor(b)
	switch {
	case code != nvml.SUCCESS:
		return ""
	case level <= nvml.TOPOLOGY_MULTIPLE: // the same board, one switch, or several without a host bridge
		return "pcie"
	case level <= nvml.TOPOLOGY_NODE:
		return "numa"
	}
	return ""
}
