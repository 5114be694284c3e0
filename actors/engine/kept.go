package engine

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/lotabots/lotabots/actors/shim"
	"github.com/lotabots/lotabots/cluster/spec"
)

// keptVersion is of what a shim's note holds. A later build reads every earlier one, or ends the engine.
const keptVersion = 1

// A kept is what the node notes in an engine's shim, for the process of the node that finds it.
type kept struct {
	V       int         `json:"v"`
	Spec    Spec        `json:"spec"`
	Base    string      `json:"base"`             // URL
	Socket  string      `json:"socket,omitempty"` // in the room
	Always  http.Header `json:"always,omitempty"` // the engine's key
	Aside   string      `json:"aside,omitempty"`
	Ready   bool        `json:"ready"` // it has served: the rest is known
	Slots   uint32      `json:"slots"`
	Context uint32      `json:"context"`

	Able spec.Abilities `json:"able"` // that the engine has told

	// Tenants has whom alone it has served, or nobody; nil: there were several, or it may still serve, so that nobody
	// knows. It matters for engines that mix tenants.
	Tenants []string `json:"tenants"`
}

func keep(s Spec, w *web) kept {
	return kept{V: keptVersion, Spec: s, Base: w.base.String(), Socket: w.socket, Always: w.always, Aside: w.aside}
}

func (k kept) encode() []byte {
	raw, err := json.Marshal(k)
	if err != nil {
		panic(err) // of strings, numbers and maps of them
	}
	return raw
}

// decodeKept reads a note.
func decodeKept(raw []byte) (kept, error) {
	var k kept
	if err := json.Unmarshal(raw, &k); err != nil {
		return kept{}, err
	}
	switch {
	case k.V < 1 || k.V > keptVersion:
		return kept{}, errors.New("its note is of another generation")
	case k.Spec.Instance == "" || k.Spec.Preset == "" || k.Spec.Preset == External:
		return kept{}, errors.New("its note does not say what it is")
	}
	return k, nil
}

// web is how to reach the engine in its room.
func (k kept) web(r *room) (*web, error) {
	if k.Socket != "" {
		if k.Socket != socketName && k.Socket != serverSocket {
			return nil, errors.New("its note names another socket")
		}
		w, err := socketWeb(r, k.Socket)
		if err == nil {
			w.always, w.aside = k.Always, k.Aside
		}
		return w, err
	}
	base, err := url.Parse(k.Base)
	if err != nil || base.Scheme != "http" || base.Hostname() != "127.0.0.1" {
		return nil, errors.New("its note does not say where it listens")
	}
	w := newWeb(base, nil)
	w.always, w.aside = k.Always, k.Aside
	return w, nil
}

// A found is an engine that an earlier process of the node has left running, claimed by this one.
type found struct {
	kept kept
	link *shim.Link
	pid  int
	room *room
}

// end stops it and waits until it is gone, as long as its grace takes.
func (f *found) end(p *Presets, why string) {
	p.config.Log.Info("an engine of the node's earlier process is ended", "instance", f.kept.Spec.Instance, "pid", f.pid, "reason", why)
	if err := f.link.Stop(context.Background(), p.config.Grace); err != nil {
		p.config.Log.Error("an engine does not end", "instance", f.kept.Spec.Instance, "pid", f.pid, "error", err)
	}
	f.room.close()
}

// release leaves it to the next process of the node.
func (f *found) release() {
	f.link.Release()
	f.room.close()
}
