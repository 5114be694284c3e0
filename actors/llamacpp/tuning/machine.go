package tuning

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Cores are those that this process may use: fewer than the machine's where it is pinned or limited.
func Cores() int { return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) }

// processor names the kind of processor by what /proc/cpuinfo says of its first one.
func processor(cpuinfo []byte) string {
	sum := sha256.New()
	for line := range bytes.Lines(cpuinfo) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			if len(bytes.TrimSpace(line)) == 0 {
				break // the end of the first
			}
			continue
		}
		switch k := strings.TrimSpace(string(key)); k {
		case "vendor_id", "cpu family", "model", "model name", "stepping", "flags", "CPU implementer", "CPU part", "Features":
			fmt.Fprintf(sum, "%s=%s\n", k, bytes.TrimSpace(value))
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// busy reports whether the machine's cores are taken, by the first number of /proc/loadavg.
func busy(loadavg []byte, cores int) bool {
	first, _, _ := strings.Cut(string(loadavg), " ")
	load, err := strconv.ParseFloat(first, 64)
	return err == nil && load >= float64(cores)
}

// class is of a model's size: the bigger, the more its speed is the memory's.
func class(modelBytes int64) string {
	for _, c := range []struct {
		below int64
		name  string
	}{{64 << 20, "tiny"}, {1 << 30, "small"}, {8 << 30, "medium"}} {
		if modelBytes < c.below {
			return c.name
		}
	}
	return "large"
}

// Key names what a choice holds for.
func Key(libraries string, modelBytes int64) (string, error) {
	build, err := digest(libraries)
	if err != nil {
		return "", err
	}
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		cpuinfo = nil // not Linux: one kind of processor per machine is assumed
	}
	return fmt.Sprintf("%s-%s-%d/%s/%s", runtime.GOARCH, processor(cpuinfo), Cores(), build, class(modelBytes)), nil
}

// digest names a set of libraries by their names, sizes and times.
func digest(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "lib*.so*"))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d %d\n", filepath.Base(f), info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(sum.Sum(nil)[:6]), nil
}

// prefix and suffix of the libraries' names that hold a variant.
const (
	variantPrefix = "libggml-cpu-"
	variantSuffix = ".so"
)

// modern are the builds with AVX2 or more, those first that are worth trying first.
var modern = []string{"haswell", "zen4", "alderlake", "icelake", "skylakex", "sapphirerapids", "cascadelake", "cooperlake", "cannonlake"}

// Variants are the builds for different processors in a directory: the modern ones, and others that are of
// interest only where none of those runs.
func Variants(dir string) (first, others []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil
	}
	for _, e := range entries {
		if name, ok := variantOf(e.Name()); ok && !slices.Contains(modern, name) {
			others = append(others, name)
		}
	}
	for _, name := range modern {
		if _, err := os.Stat(filepath.Join(dir, variantPrefix+name+variantSuffix)); err == nil {
			first = append(first, name)
		}
	}
	return first, others
}

func variantOf(file string) (string, bool) {
	name, ok := strings.CutPrefix(file, variantPrefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, variantSuffix)
}

// Isolate makes a temporary directory in which llama.cpp finds, of the variants, only this one. It may be
// removed once they are loaded.
func Isolate(libraries, variant string) (string, error) {
	entries, err := os.ReadDir(libraries)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "lotabots-variant-")
	if err != nil {
		return "", err
	}
	there := false
	for _, e := range entries {
		if name, ok := variantOf(e.Name()); ok && name != variant {
			continue
		} else if ok {
			there = true
		}
		if err = os.Symlink(filepath.Join(libraries, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			break
		}
	}
	if err == nil && !there {
		err = fmt.Errorf("no %s%s%s in %s", variantPrefix, variant, variantSuffix, libraries)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", err
	}
	return dir, nil
}

// Results reads what a measuring process prints: a result a line. What makes no sense is left out.
func Results(out []byte) (list []Result) {
	s := bufio.NewScanner(bytes.NewReader(out))
	for s.Scan() {
		if r, ok := parseResult(s.Bytes()); ok {
			list = append(list, r)
		}
	}
	return list
}
