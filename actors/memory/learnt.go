package memory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Key names what memory was measured of: a model's file with an engine, those of
// its settings that memory depends on, and a kind of device.
type Key struct {
	Model  string `json:"model"` // hex digest, or name where the engine has the file
	Engine string `json:"engine"`
	Flags  string `json:"flags"`
	Device string `json:"device"` // its name
}

// KeyOf is the key of m on a device of that name.
func KeyOf(m *wire.LoadModel, device string) Key {
	k := Key{Model: fmt.Sprintf("%x", m.GetDigest()), Engine: m.GetEngine(), Device: device,
		Flags: fmt.Sprintf("context=%d slots=%d", m.GetContext(), m.GetSlots())}
	if len(m.GetDigest()) == 0 {
		k.Model = m.GetModel()
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetOptions())) {
		k.Flags += fmt.Sprintf(" %s=%q", name, m.GetOptions()[name])
	}
	return k
}

const (
	maxLearnt     = 1024    // entries; those measured last are kept
	maxLearntFile = 4 << 20 // bytes; no file of this package has as many
	maxFlags      = 1024    // bytes; more than that is not learnt
	saveEvery     = 30 * time.Second
	lastUpTo      = 1 << 50 // bytes; what was measured above is nonsense
)

// A Learnt remembers what instances were measured to take, in a small file. Any
// goroutine may use it; a nil one has learnt nothing.
type Learnt struct {
	path string
	mu   struct {
		sync.Mutex
		entries map[Key]entry
		dirty   bool
	}
}

type entry struct {
	Bytes uint64 `json:"bytes"` // the most that was seen
	At    int64  `json:"at"`    // Unix seconds of the last measurement
}

type line struct {
	Key
	entry
}

// OpenLearnt reads what is in the file. One that is damaged is an error, and what
// it held is forgotten: the Learnt returned is good nevertheless.
func OpenLearnt(path string) (*Learnt, error) {
	l := &Learnt{path: path}
	l.mu.entries = map[Key]entry{}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxLearntFile+1))
	if err != nil {
		return l, err
	}
	entries, err := parseLearnt(raw)
	if err != nil {
		return l, fmt.Errorf("%s is damaged, and what it told of models' memory is forgotten: %w", path, err)
	}
	l.mu.entries = entries
	return l, nil
}

func parseLearnt(raw []byte) (map[Key]entry, error) {
	var lines []line
	if len(raw) > maxLearntFile {
		return nil, fmt.Errorf("it has more than %d bytes", maxLearntFile)
	}
	if err := json.Unmarshal(raw, &lines); err != nil {
		return nil, err
	}
	out := map[Key]entry{}
	for _, l := range lines {
		if l.Bytes == 0 || l.Bytes > lastUpTo || l.At < 0 || len(l.Flags) > maxFlags {
			return nil, fmt.Errorf("it tells of %d bytes at %d", l.Bytes, l.At)
		}
		out[l.Key] = l.entry
	}
	return bounded(out), nil
}

// bounded forgets those that were measured the longest ago.
func bounded(all map[Key]entry) map[Key]entry {
	if len(all) <= maxLearnt {
		return all
	}
	keys := slices.SortedFunc(maps.Keys(all), func(a, b Key) int {
		return cmp.Or(cmp.Compare(all[b].At, all[a].At), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Flags, b.Flags), cmp.Compare(a.Engine, b.Engine), cmp.Compare(a.Device, b.Device))
	})
	for _, k := range keys[maxLearnt:] {
		delete(all, k)
	}
	return all
}

// Note takes in a measurement.
func (l *Learnt) Note(k Key, bytes uint64, now time.Time) {
	if l == nil || bytes == 0 || bytes > lastUpTo || len(k.Flags) > maxFlags {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mu.entries[k]
	if bytes <= e.Bytes && now.Unix()-e.At < 24*3600 {
		return
	}
	l.mu.entries[k] = entry{max(bytes, e.Bytes), max(now.Unix(), 0)}
	l.mu.entries, l.mu.dirty = bounded(l.mu.entries), true
}

// Reserve is what to reserve where so much was asked for: no less, and no less than
// the most that was measured before, and a fiftieth.
func (l *Learnt) Reserve(k Key, asked uint64) uint64 {
	if l == nil || asked == 0 {
		return asked
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.mu.entries[k].Bytes
	return max(asked, known+known/50)
}

// Keep saves what is new to the file, now and then and when ctx ends, and returns
// then. What failed is tried again; failed is told of it.
func (l *Learnt) Keep(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := l.save(); err != nil {
				failed(err)
			}
			return
		case <-tick.C:
			if err := l.save(); err != nil {
				failed(err)
			}
		}
	}
}

func (l *Learnt) save() (err error) {
	l.mu.Lock()
	if !l.mu.dirty {
		l.mu.Unlock()
		return nil
	}
	l.mu.dirty = false
	var lines []line
	for k, e := range l.mu.entries {
		lines = append(lines, line{k, e})
	}
	l.mu.Unlock()
	defer func() {
		if err != nil {
			l.mu.Lock()
			l.mu.dirty = true
			l.mu.Unlock()
		}
	}()
	raw, err := json.Marshal(lines)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	beside := l.path + ".new" // a file cut off by a crash is no loss: it is replaced as a whole, or found damaged
	if err := os.WriteFile(beside, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(beside, l.path)
}
