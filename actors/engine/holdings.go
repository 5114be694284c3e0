package engine

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Holdings is what an Engine has that may tell which beginnings of prompts it holds.
type Holdings interface {
	// TellsHeld reports whether it can; those that cannot answer Held with CodeUnsupported.
	TellsHeld() bool
	// Held is what has changed since a reader's epoch and number, or everything where these are not known.
	Held(ctx context.Context, epoch string, seq uint64) (Held, error)
}

// Held is actors/llamacpp/prefix.Changes.
type Held struct {
	Epoch   string     `json:"epoch"`
	Seq     uint64     `json:"seq"` // to ask with next
	Reset   bool       `json:"reset"`
	Added   []HeldMark `json:"added"`
	Removed []string   `json:"removed"` // names, as HeldMark has them
}

// A HeldMark is a beginning's name, 16 hexadecimal digits, and its tokens.
type HeldMark struct {
	Name   string `json:"name"`
	Tokens int    `json:"tokens"`
}

// A holder is a driver whose program tells what it holds.
type holder interface {
	held(ctx context.Context, w *web, epoch string, seq uint64) (Held, error)
}

// TellsHeld implements Holdings.
func (l *local) TellsHeld() bool {
	_, ok := l.driver.(holder)
	return ok
}

// Held implements Holdings.
func (l *local) Held(ctx context.Context, epoch string, seq uint64) (Held, error) {
	d, ok := l.driver.(holder)
	if !ok {
		return Held{}, spec.Errorf(spec.CodeUnsupported, "the engine %s does not tell what it holds", l.spec.Preset)
	}
	w, err := l.running()
	if err != nil {
		return Held{}, err
	}
	return d.held(ctx, w, epoch, seq)
}

func (*embedded) held(ctx context.Context, w *web, epoch string, seq uint64) (h Held, err error) {
	r, err := w.request(ctx, http.MethodGet, "/prefixes", nil)
	if err != nil {
		return h, err
	}
	if epoch != "" {
		r.URL.RawQuery = url.Values{"epoch": {epoch}, "since": {strconv.FormatUint(seq, 10)}}.Encode()
	}
	answer, err := w.send(r)
	if err != nil {
		return h, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return h, &statusError{path: "/prefixes", status: answer.StatusCode}
	}
	return h, json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&h)
}
