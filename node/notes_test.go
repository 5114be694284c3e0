package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/engine/custom"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/demo"
)

func noteOf(t *testing.T, id string, presets ...string) []byte {
	t.Helper()
	n := &wire.NodeNote{Node: id}
	for _, name := range presets {
		n.Presets = append(n.Presets, &wire.Preset{Name: name})
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestNotesAreAskedForOnce per change, again where nothing came, and never believed of
// another node.
func TestNotesAreAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, changes atomic.Int32
		var answer atomic.Pointer[[]byte]
		s := newNotes("n1")
		s.ask = func(context.Context, spec.NodeID) ([]byte, error) {
			asked.Add(1)
			if raw := answer.Load(); raw != nil {
				return *raw, nil
			}
			return nil, errors.New("not now")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.run(ctx, true, func() { changes.Add(1) })
		}()
		if s.hash() != 0 || len(s.all()) != 0 {
			t.Error("it knows of somebody")
		}
		first := noteOf(t, "n2", "embedded")
		s.heard("n2", hashOf(first))
		s.heard("n3", 0) // tells nothing
		time.Sleep(10 * time.Second)
		if n, there := s.all()["n2"]; !there || n != nil || asked.Load() < 3 || asked.Load() > 12 {
			t.Errorf("%v after %d questions", s.all(), asked.Load())
		}
		lie := noteOf(t, "n9", "embedded")
		answer.Store(&lie)
		time.Sleep(5 * time.Second)
		if s.all()["n2"] != nil {
			t.Error("a note of another node is believed")
		}
		answer.Store(&first)
		time.Sleep(5 * time.Second)
		before := asked.Load()
		for range 20 {
			s.heard("n2", hashOf(first))
			time.Sleep(time.Second)
		}
		if asked.Load() != before || changes.Load() != 1 || len(s.all()["n2"].GetPresets()) != 1 {
			t.Errorf("%d more questions, %d changes: %v", asked.Load()-before, changes.Load(), s.all())
		}
		second := noteOf(t, "n2", "embedded", "own")
		answer.Store(&second)
		s.heard("n2", hashOf(second))
		time.Sleep(5 * time.Second)
		if len(s.all()["n2"].GetPresets()) != 2 || changes.Load() != 2 {
			t.Errorf("%v", s.all())
		}
		s.forget("n2")
		if len(s.all()) != 0 {
			t.Error("it is not forgotten")
		}
		cancel()
		<-done
	})
}

func TestOwnNote(t *testing.T) {
	s := newNotes("n1")
	s.expect()
	if n, there := s.all()["n1"]; !there || n != nil || s.hash() == 0 {
		t.Error("others would think that it has none")
	}
	s.own = func() *wire.NodeNote { return &wire.NodeNote{Node: "n1", Presets: []*wire.Preset{{Name: "embedded"}}} }
	s.look()
	if n := s.all()["n1"]; len(n.GetPresets()) != 1 || s.hash() != hashOf(noteOf(t, "n1", "embedded")) {
		t.Errorf("%v", n)
	}
}

// TestUnknownOptions are those that no node has which has the preset.
func TestUnknownOptions(t *testing.T) {
	has := func(told bool, names ...string) *wire.NodeNote {
		p := &wire.Preset{Name: "own", Own: true, OptionsTold: told}
		for _, name := range names {
			p.Options = append(p.Options, &wire.PresetOption{Name: name, Type: custom.Int})
		}
		return &wire.NodeNote{Presets: []*wire.Preset{{Name: "embedded"}, p}}
	}
	for name, c := range map[string]struct {
		notes []*wire.NodeNote
		want  string
	}{
		"nobody has it":      {[]*wire.NodeNote{{}, nil}, ""},
		"one lacks both":     {[]*wire.NodeNote{has(true)}, "a,b"},
		"one lacks one":      {[]*wire.NodeNote{has(true, "a")}, "b"},
		"each lacks another": {[]*wire.NodeNote{has(true, "a"), nil, has(true, "b")}, ""},
		"an older build":     {[]*wire.NodeNote{has(true), has(false)}, ""},
	} {
		if got := strings.Join(unknownOptions(c.notes, "own", map[string]string{"b": "1", "a": "2"}), ","); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestEnginesOfANode: what a node has is told, what none has is refused, unless its
// node is said to come later.
func TestEnginesOfANode(t *testing.T) {
	n := &testNode{t: t, cfg: configured(t, "n1", "eu", allRoles...), logs: &lockedBuffer{}}
	n.cfg.Engines.Presets = []custom.Preset{{Name: "one-engine", Command: []string{"/bin/sh", "{port}"}, Capabilities: []string{"chat"},
		Options: map[string]custom.Option{"depth": {Type: custom.Int, Min: 1, Max: 9, Flag: "--depth"}}},
		{Name: "two-engine", Command: []string{"/nowhere/at/all", "{port}"}}}
	if _, err := Init(n.cfg, "test"); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.ready()
	var s gateway.Status
	n.admin("GET", "/admin/v1/status", nil, &s)
	told := map[string]gateway.PresetStatus{}
	for _, p := range s.Nodes[0].Presets {
		told[p.Name] = p
	}
	if p := told["one-engine"]; !p.Own || p.Lacks != "" || strings.Join(p.Capabilities, ",") != "chat" {
		t.Errorf("%+v", p)
	}
	if p := told["two-engine"]; !strings.Contains(p.Lacks, "/nowhere/at/all") {
		t.Errorf("%+v", p)
	}
	if p, there := told["vllm"]; !there || p.Own {
		t.Errorf("%+v", p)
	}
	api := client.New(n.adminKey(), "http://"+n.cfg.API.Listen)
	d := map[string]any{"engine": "abacus-engine", "replicas": 1}
	err := api.Do(t.Context(), "PUT", "/admin/v1/deployments/m", d, nil)
	if err == nil || !strings.Contains(err.Error(), "is on no living node") {
		t.Errorf("%v", err)
	}
	n.admin("PUT", "/admin/v1/deployments/m?force=true", d, nil)
	evil := map[string]any{"engine": "one-engine", "replicas": 0, "options": map[string]string{"depth": "2", "evil": "1"}}
	if err := api.Do(t.Context(), "PUT", "/admin/v1/deployments/o", evil, nil); err == nil || !strings.Contains(err.Error(), "options.evil") || strings.Contains(err.Error(), "options.depth") {
		t.Errorf("%v", err)
	}
	n.admin("PUT", "/admin/v1/deployments/o?force=true", evil, nil)
	delete(evil["options"].(map[string]string), "evil")
	n.admin("PUT", "/admin/v1/deployments/o", evil, nil)
	d["engine"] = "two-engine"
	n.admin("PUT", "/admin/v1/deployments/two", d, nil)
	want := map[string]string{"m": "it has no engine preset abacus-engine; it has ", "two": "/nowhere/at/all"}
	await(t, 30*time.Second, "what has no place is told", func() bool {
		n.admin("GET", "/admin/v1/status", nil, &s)
		found := 0
		for _, l := range s.Lacking {
			if strings.Contains(l.Reason, want[l.Deployment]) {
				found++
			}
		}
		return found == 2
	})
	for _, i := range s.Instances {
		t.Errorf("%+v was placed", i)
	}
}

// TestManyInstancesOnADevice: more than one datagram can tell of, and each is known.
func TestManyInstancesOnADevice(t *testing.T) {
	needsEngine(t)
	n := found(t, "n1", "north")
	n.admin("PUT", "/admin/v1/models/tiny", bytes.NewReader(demo.Model), nil)
	const many = 40
	for i := range many {
		n.admin("PUT", fmt.Sprintf("/admin/v1/deployments/a-model-of-many-%02d", i),
			map[string]any{"engine": "embedded", "model": "tiny", "replicas": 1, "residency": "on-demand", "memory_bytes": 200 << 20}, nil)
	}
	await(t, 60*time.Second, "all are placed, and told of as cold", func() bool {
		var s gateway.Status
		n.admin("GET", "/admin/v1/status", nil, &s)
		cold := 0
		for _, i := range s.Instances {
			if i.State == "cold" {
				cold++
			}
		}
		return cold == many
	})
	if got, err := n.chat(n.adminKey(), "a-model-of-many-33", demo.Question); err != nil || got != demo.Answer {
		t.Errorf("got %q (%v)", got, err)
	}
}
