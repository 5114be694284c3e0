package engine

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// versions are what running programs have told of themselves, by preset.
type versions struct {
	mu struct {
		sync.Mutex
		told map[string]string
	}
}

const maxVersion = 40 // bytes that are kept of one

func (v *versions) note(preset, told string) {
	if told == "" {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mu.told == nil {
		v.mu.told = map[string]string{}
	}
	v.mu.told[preset] = strings.ToValidUTF8(told[:min(len(told), maxVersion)], "")
}

func (v *versions) of(preset string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mu.told[preset]
}

// A version is an engine's, as far as presets ask for it: 0.10.2rc1 is {0, 10, 2}.
type version [3]int

// parseVersion reads the numbers that a version begins with; the zero version: it is not known.
func parseVersion(text string) (v version) {
	text = strings.TrimPrefix(text, "v")
	for i := range v {
		digits := 0
		for digits < len(text) && digits < 6 && text[digits] >= '0' && text[digits] <= '9' {
			digits++
		}
		if digits == 0 {
			return v
		}
		v[i], _ = strconv.Atoi(text[:digits]) // digits alone
		rest, more := strings.CutPrefix(text[digits:], ".")
		if !more {
			return v
		}
		text = rest
	}
	return v
}

func (v version) known() bool { return v != version{} }

// before tells whether v is known and older.
func (v version) before(o version) bool {
	for i := range v {
		if v[i] != o[i] {
			return v.known() && v[i] < o[i]
		}
	}
	return false
}

// packageVersion is the version of the Python package that the script at path belongs to, read from
// its environment's directory: to ask the program itself takes it many seconds. Zero: not found.
func packageVersion(path, name string) version {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	libraries := filepath.Join(filepath.Dir(filepath.Dir(path)), "lib", "python3*")
	for _, packages := range []string{"site-packages", "dist-packages"} {
		found, _ := filepath.Glob(filepath.Join(libraries, packages, name+"-*.dist-info")) // a pattern of ours does not fail
		for _, dir := range found {
			text := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(dir), name+"-"), ".dist-info")
			if v := parseVersion(text); v.known() {
				return v
			}
		}
	}
	return version{}
}

// toldBy is what a driver has kept of its program's account; empty: nothing.
func toldBy(kept *atomic.Pointer[string]) string {
	if told := kept.Load(); told != nil {
		return *told
	}
	return ""
}
