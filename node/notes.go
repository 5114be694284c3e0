package node

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

const (
	noteEvery = 2 * time.Second // between two looks at what this node has to tell
	noteAgain = time.Second     // before a node is asked again that has not answered
	noteLimit = 5 * time.Second // that one answer may take
	notesOnce = 8               // nodes that are asked at a time
	maxNote   = 4 << 20         // bytes
)

// notes are what the nodes tell of themselves beside their devices' loads: presets of
// engines, learnt memory. Digests carry a note's hash alone, so that they stay small;
// who hears a new one asks its node.
type notes struct {
	self spec.NodeID
	own  func() *wire.NodeNote // nil: this node tells nothing
	ask  func(ctx context.Context, id spec.NodeID) ([]byte, error)
	wake chan struct{}
	mu   struct {
		sync.Mutex
		raw   []byte // this node's
		nodes map[spec.NodeID]*noted
	}
}

type noted struct {
	hash  uint64         // of note
	heard uint64         // the last that a digest told
	note  *wire.NodeNote // nil: it has not come yet
	tried time.Time
}

func newNotes(self spec.NodeID) *notes {
	s := &notes{self: self, wake: make(chan struct{}, 1)}
	s.mu.nodes = map[spec.NodeID]*noted{}
	return s
}

func hashOf(raw []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(raw) // does not fail
	return max(h.Sum64(), 2)
}

// expect has others wait for this node's note, which is not made yet.
func (s *notes) expect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.nodes[s.self] = &noted{hash: 1, heard: 1}
}

// look makes this node's note anew.
func (s *notes) look() {
	if s.own == nil {
		return
	}
	n := s.own()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(n)
	if err != nil { // a text that is not valid: better the last note than none
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.raw = raw
	s.mu.nodes[s.self] = &noted{hash: hashOf(raw), heard: hashOf(raw), note: n}
}

// hash is that of this node's note; 0: it tells nothing.
func (s *notes) hash() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.mu.nodes[s.self]; n != nil {
		return n.hash
	}
	return 0
}

// heard takes in the hash that a node's digest has.
func (s *notes) heard(id spec.NodeID, hash uint64) {
	if id == s.self || hash == 0 {
		return
	}
	s.mu.Lock()
	n := s.mu.nodes[id]
	if n == nil {
		n = &noted{}
		s.mu.nodes[id] = n
	}
	n.heard = hash
	stale := n.hash != hash
	s.mu.Unlock()
	if stale {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

func (s *notes) forget(id spec.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.nodes, id)
}

// all is what every node that tells of itself has told last; nil: its note has not come yet.
func (s *notes) all() map[spec.NodeID]*wire.NodeNote {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[spec.NodeID]*wire.NodeNote, len(s.mu.nodes))
	for id, n := range s.mu.nodes {
		out[id] = n.note
	}
	return out
}

// run keeps this node's note and, if others is true, those of the others; changed is
// called after one of these has come.
func (s *notes) run(ctx context.Context, others bool, changed func()) {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look()
		case <-s.wake:
		}
		if others && s.fetch(ctx) {
			changed()
		}
	}
}

// fetch asks the nodes whose notes are old, and tells whether any has come.
func (s *notes) fetch(ctx context.Context) bool {
	var asking sync.WaitGroup
	turns := make(chan struct{}, notesOnce)
	var came atomic.Bool
	for _, id := range s.stale(time.Now()) {
		turns <- struct{}{}
		asking.Go(func() {
			defer func() { <-turns }()
			if s.fetchOne(ctx, id) == nil {
				came.Store(true)
			}
		})
	}
	asking.Wait()
	return came.Load()
}

// stale lists the nodes to ask now.
func (s *notes) stale(now time.Time) (out []spec.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.mu.nodes {
		if n.heard != n.hash && now.Sub(n.tried) >= noteAgain {
			n.tried = now
			out = append(out, id)
		}
	}
	return out
}

func (s *notes) fetchOne(ctx context.Context, id spec.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, noteLimit)
	defer cancel()
	raw, err := s.ask(ctx, id)
	if err != nil {
		return err
	}
	note := &wire.NodeNote{}
	if err := proto.Unmarshal(raw, note); err != nil {
		return err
	}
	if note.GetNode() != string(id) {
		return fmt.Errorf("node %s tells of %q", id, note.GetNode())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.mu.nodes[id]; n != nil { // else it has died meanwhile
		n.note, n.hash = note, hashOf(raw)
	}
	return nil
}

func (n *Node) serveNote(w http.ResponseWriter, _ *http.Request) {
	n.notes.mu.Lock()
	raw := n.notes.mu.raw
	n.notes.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(raw) // who does not get it asks again
}

var errNoNote = errors.New("the node has no note")

func (n *Node) askNote(ctx context.Context, id spec.NodeID) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(id)+"/note", nil)
	if err != nil {
		return nil, err
	}
	answer, err := n.port.Client("state").Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, errNoNote
	}
	return io.ReadAll(io.LimitReader(answer.Body, maxNote))
}

// note is what this node tells of itself: its engines, what they were measured to
// take, and which models' files it has whole.
func (n *Node) note() *wire.NodeNote {
	note := n.actors.Note()
	for _, m := range n.state.Models() { // by name, so that the same makes the same hash
		if n.blobs.Has(m.GetDigest()) {
			note.Models = append(note.Models, m.GetDigest())
		}
	}
	return note
}

// startNotes has those follow the others' notes that place by them or show them.
func (n *Node) startNotes(context.Context) error {
	n.notes.ask = n.askNote
	n.background("notes", func(ctx context.Context) {
		n.notes.run(ctx, routes(n.self()), func() {
			if n.loop != nil {
				n.loop.Wake()
			}
		})
	})
	return nil
}

// hasEngine tells whether a living node can run the preset, and whether all that run
// engines have told what they have.
func (n *Node) hasEngine(preset string) (some, told bool) {
	notes := n.notes.all()
	told = true
	for _, r := range n.state.Nodes() {
		id := spec.NodeID(r.GetId())
		if !slices.Contains(r.GetRoles(), string(spec.RoleWorker)) || !n.alive(id) {
			continue
		}
		told = told && notes[id] != nil
		some = some || slices.ContainsFunc(notes[id].GetPresets(), func(p *wire.Preset) bool { return p.GetName() == preset })
	}
	return some, told
}

// unknownOptions lists those of the options that a preset of the nodes' own lacks on every
// living node that has it. Where one may have it and does not tell its options, none is unknown.
func (n *Node) unknownOptions(preset string, options map[string]string) []string {
	if _, told := n.hasEngine(preset); !told {
		return nil
	}
	var notes []*wire.NodeNote
	for id, note := range n.notes.all() {
		if n.alive(id) {
			notes = append(notes, note)
		}
	}
	return unknownOptions(notes, preset, options)
}

func unknownOptions(notes []*wire.NodeNote, preset string, options map[string]string) (unknown []string) {
	has, known := false, map[string]bool{}
	for _, note := range notes {
		for _, p := range note.GetPresets() {
			switch {
			case p.GetName() != preset:
				continue
			case !p.GetOptionsTold():
				return nil
			}
			has = true
			for _, o := range p.GetOptions() {
				known[o.GetName()] = true
			}
		}
	}
	if !has {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// presets are those that the node has told of.
func presets(note *wire.NodeNote) []gateway.PresetStatus {
	out := []gateway.PresetStatus{}
	for _, p := range note.GetPresets() {
		out = append(out, gateway.PresetStatus{Name: p.GetName(), Version: p.GetVersion(), Capabilities: p.GetCapabilities(), Lacks: p.GetLacks(), Own: p.GetOwn()})
	}
	return out
}
