package device

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// limits is what the control groups of this process allow it.
type limits struct {
	memory uint64  // bytes; math.MaxUint64: no bound
	free   uint64  // bytes until the nearest bound, counting what can be reclaimed; math.MaxUint64: no bound
	cores  float64 // +Inf: no bound
}

// readLimits reads both generations of control groups below root, the file system's root, at their
// customary mounts. What it cannot read bounds nothing. Every group up to the mount's top counts: a
// bound may stand on any of them, and inside a container the path that the kernel tells may not
// exist below the mount.
func readLimits(root fs.FS) limits {
	l := limits{memory: math.MaxUint64, free: math.MaxUint64, cores: math.Inf(1)}
	raw, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return l
	}
	for line := range strings.Lines(string(raw)) { // number:controllers:path
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		unified := parts[1] == ""
		for controller := range strings.SplitSeq(parts[1], ",") {
			mount := "sys/fs/cgroup"
			switch {
			case unified:
			case controller == "memory" || controller == "cpu":
				mount = path.Join(mount, controller)
			default:
				continue
			}
			for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
				l.take(root, path.Join(mount, group), unified)
				if group == "/" {
					break
				}
			}
		}
	}
	return l
}

// take narrows l by the group in dir.
func (l *limits) take(root fs.FS, dir string, unified bool) {
	number := func(name string) (uint64, bool) { return readNumber(root, path.Join(dir, name)) }
	limit, usage, cache := "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
	if unified {
		limit, usage, cache = "memory.max", "memory.current", "inactive_file"
	}
	if bytes, ok := number(limit); ok && bytes < math.MaxInt64>>12<<12 { // the first generation says so for none
		l.memory = min(l.memory, bytes)
		if used, ok := number(usage); ok {
			used -= min(used, statistic(root, path.Join(dir, "memory.stat"), cache))
			l.free = min(l.free, bytes-min(bytes, used))
		}
	}
	if unified {
		raw, _ := fs.ReadFile(root, path.Join(dir, "cpu.max"))
		if f := strings.Fields(string(raw)); len(f) == 2 {
			l.takeCores(f[0], f[1])
		}
		return
	}
	quota, _ := fs.ReadFile(root, path.Join(dir, "cpu.cfs_quota_us"))
	period, _ := fs.ReadFile(root, path.Join(dir, "cpu.cfs_period_us"))
	l.takeCores(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
}

// takeCores reads microseconds of processor per period; "max" and -1 are no bound.
func (l *limits) takeCores(quota, period string) {
	q, err := strconv.ParseUint(quota, 10, 32)
	p, err2 := strconv.ParseUint(period, 10, 32)
	if err == nil && err2 == nil && q > 0 && p > 0 {
		l.cores = min(l.cores, float64(q)/float64(p))
	}
}

func readNumber(root fs.FS, name string) (uint64, bool) {
	raw, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
	return n, err == nil
}

// statistic finds one line "key number" of a file; 0: it is not there.
func statistic(root fs.FS, name, key string) uint64 {
	raw, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == key {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			return n
		}
	}
	return 0
}
