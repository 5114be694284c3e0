package tuning

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec/whole"
)

// maxChoices bounds the file; the oldest go first.
const maxChoices = 64

// File is where the choices are kept.
func File() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "lotabots", "engine-tuning.json"), err
}

type stored struct {
	Version int               `json:"version"`
	Choices map[string]Choice `json:"choices"`
}

// parse reads a file; one that is damaged or of another version counts as empty.
func parse(raw []byte) map[string]Choice {
	var s stored
	if json.Unmarshal(raw, &s) != nil || s.Version != 1 {
		return map[string]Choice{}
	}
	out := map[string]Choice{}
	for key, c := range s.Choices {
		if c.sound() {
			out[key] = c
		}
	}
	return out
}

// sound refuses what cannot have been measured: the file may be anybody's.
func (c Choice) sound() bool {
	return c.Threads >= 1 && c.Threads <= 4096 && c.BatchThreads >= 1 && c.BatchThreads <= 4096 && !strings.ContainsAny(c.Variant, "/\\\x00")
}

func parseResult(line []byte) (Result, bool) {
	var r Result
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if d.Decode(&r) != nil || r.Threads < 1 {
		return r, false
	}
	fine := func(f float64) bool { return f > 0 && !math.IsInf(f, 0) }
	return r, fine(r.Prefill) && fine(r.Decode)
}

// Known is the choice kept under a key.
func Known(file, key string) (Choice, bool) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return Choice{}, false
	}
	c, ok := parse(raw)[key]
	return c, ok
}

// Keep adds a choice to the file, whole or not at all.
func Keep(file, key string, c Choice) error {
	raw, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	choices := parse(raw)
	choices[key] = c
	for len(choices) > maxChoices {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(choices)), func(a, b string) int { return choices[a].Measured.Compare(choices[b].Measured) })
		delete(choices, oldest)
	}
	raw, err = json.MarshalIndent(stored{1, choices}, "", " ")
	if err != nil {
		return err
	}
	if err := whole.Write(file, raw); err != nil {
		return fmt.Errorf("keep the measurement: %w", err)
	}
	return nil
}
