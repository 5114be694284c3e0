package engine

import "strings"

// inherited lets through what programs need of the node's environment. The rest stays here: it may hold
// keys, and proxies or preloads that were meant for the node.
func inherited(environment []string) []string {
	var out []string
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "PATH", "HOME", "LANG", "TZ", "TMPDIR", "XDG_CACHE_HOME", "LD_LIBRARY_PATH":
			out = append(out, entry)
			continue
		}
		for _, prefix := range []string{"LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "HSA_", "GGML_", "OMP_", "GODEBUG", "GOCOVERDIR"} {
			if strings.HasPrefix(name, prefix) {
				out = append(out, entry)
				break
			}
		}
	}
	return out
}
