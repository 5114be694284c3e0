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

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/whole"
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
		Flags: spec.MemoryFlags(m.GetContext(), m.GetSlots(), m.GetOptions(), 1+len(m.GetDevices()), len(m.GetAdapters()))}
	if len(m.GetDigest()) == 0 {
		k.Model = m.GetModel()
	}
	return k
}

const (
	maxLearnt     = 1024    // entries; those measured last are kept
	maxLearntFile = 4 << 20 // bytes; no file of this package has as many
	maxFlags      = 1024    // bytes; more than that is not learnt
	saveEvery     = 30 * time.Second
	lastUpTo      = 1 << 50 // bytes; what was measured above is nonsense
	maxLoadID     = 200     // bytes
	renewEvery    = 30      // seconds between two notes that a load goes on as it was
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

// An entry is the loads of a kind, the newest last.
type entry struct {
	Loads []load `json:"loads"`
	// Bytes and At are all that earlier builds wrote: the most of any load, and when it was seen last.
	Bytes uint64 `json:"bytes,omitempty"`
	At    int64  `json:"at,omitempty"`
}

// newest is when the entry was measured last.
func (e entry) newest() (at int64) {
	for _, l := range e.Loads {
		at = max(at, l.To)
	}
	return at
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
		if l.Bytes > 0 && len(l.Loads) == 0 {
			l.Loads = []load{{Bytes: l.Bytes, From: l.At, To: l.At}}
		}
		l.Bytes, l.At = 0, 0
		if len(l.Loads) == 0 || len(l.Loads) > keptLoads || len(l.Flags) > maxFlags {
			return nil, fmt.Errorf("it has %d loads of one kind", len(l.Loads))
		}
		for _, one := range l.Loads {
			if one.Bytes == 0 || one.Bytes > lastUpTo || one.From < 0 || one.To < one.From || len(one.ID) > maxLoadID {
				return nil, fmt.Errorf("it tells of %d bytes from %d to %d", one.Bytes, one.From, one.To)
			}
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
		return cmp.Or(cmp.Compare(all[b].newest(), all[a].newest()), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Flags, b.Flags), cmp.Compare(a.Engine, b.Engine), cmp.Compare(a.Device, b.Device))
	})
	for _, k := range keys[maxLearnt:] {
		delete(all, k)
	}
	return all
}

// Note takes in a measurement of the engine that id tells from others: the most that it
// was seen to have counts, as on a device that engines take their memory of as they load.
func (l *Learnt) Note(k Key, id string, bytes uint64, now time.Time) {
	l.note(k, id, bytes, now, func(had uint64) uint64 { return max(had, bytes) })
}

// Steady is Note where the least counts that an engine was seen to have while it served:
// in the host's memory what one great request took comes on top, and is often kept.
func (l *Learnt) Steady(k Key, id string, bytes uint64, now time.Time) {
	l.note(k, id, bytes, now, func(had uint64) uint64 { return min(had, bytes) })
}

func (l *Learnt) note(k Key, id string, bytes uint64, now time.Time, both func(had uint64) uint64) {
	if l == nil || bytes == 0 || bytes > lastUpTo || len(k.Flags) > maxFlags || len(id) > maxLoadID {
		return
	}
	at := max(now.Unix(), 0)
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mu.entries[k]
	i := slices.IndexFunc(e.Loads, func(x load) bool { return x.ID == id })
	switch {
	case i < 0:
		e.Loads = append(slices.Clone(e.Loads), load{ID: id, Bytes: bytes, From: at, To: at})
		e.Loads = e.Loads[max(0, len(e.Loads)-keptLoads):]
	case both(e.Loads[i].Bytes) == e.Loads[i].Bytes && at-e.Loads[i].To < renewEvery:
		return
	default:
		x := &e.Loads[i]
		x.Bytes, x.To = both(x.Bytes), max(x.To, at)
	}
	l.mu.entries[k] = e
	l.mu.entries, l.mu.dirty = bounded(l.mu.entries), true
}

// Of is what is known of the kind.
func (l *Learnt) Of(k Key, now time.Time) Figure {
	if l == nil {
		return Figure{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return figure(l.mu.entries[k].Loads, now)
}

// Tell lists what is known, in an order of its own that does not change, in whole MiB.
func (l *Learnt) Tell(now time.Time) (out []*wire.LearntMemory) {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, e := range l.mu.entries {
		if f := figure(e.Loads, now); f.Bytes > 0 {
			out = append(out, &wire.LearntMemory{Model: k.Model, Engine: k.Engine, Flags: k.Flags, Device: k.Device,
				Bytes: (f.Bytes + 1<<20 - 1) >> 20 << 20, Loads: uint32(f.Loads), Agreed: f.Agreed})
		}
	}
	slices.SortFunc(out, func(a, b *wire.LearntMemory) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Engine, b.Engine), cmp.Compare(a.Flags, b.Flags), cmp.Compare(a.Device, b.Device))
	})
	return out
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
		lines = append(lines, line{k, entry{Loads: slices.Clone(e.Loads)}})
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
	return whole.Write(l.path, raw)
}
