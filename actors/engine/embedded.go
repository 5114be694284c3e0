package engine

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/lotabots/lotabots/actors/shim"
	"github.com/lotabots/lotabots/cluster/spec"
)

// embedded drives lotabots-engine serve, which loads the GGUF before its health is well. Its
// interface is actors/llamacpp's.
type embedded struct {
	spec              Spec
	options           options
	helper, libraries string
	grace             string
}

func newEmbedded(s Spec, o options, c Config) (driver, error) {
	helper, libraries, err := c.embedded()
	if err != nil {
		return nil, err
	}
	model, err := filepath.Abs(s.Model)
	s.Model = model
	return &embedded{spec: s, options: o, helper: helper, libraries: libraries, grace: c.Grace.String()}, err
}

const (
	socketName = "s"
	// defaultCacheRAM is MiB for conversations that have lost their slot: a part of
	// what placement reckons for every engine beside its model.
	defaultCacheRAM = "64"
)

func (e *embedded) launch(r *room) (command, *web, error) {
	where := "cpu"
	if n := len(e.spec.gpus()); n > 0 {
		where = "0" // of those that it sees
		for i := 1; i < n; i++ {
			where += "," + strconv.Itoa(i)
		}
	}
	if e.options["cache-ram"] == "" {
		e.options = maps.Clone(e.options)
		if e.options == nil {
			e.options = options{}
		}
		e.options["cache-ram"] = defaultCacheRAM
	}
	args := []string{
		"serve", "--socket", socketName, "--model", e.spec.Model, "--libraries", e.libraries, "--device", where,
		"--exit-with-parent", "--grace", e.grace,
		"--context", strconv.FormatUint(uint64(e.spec.Context), 10), "--slots", strconv.FormatUint(uint64(e.spec.Slots), 10),
	}
	if e.spec.ModelName != "" {
		args = append(args, "--name="+e.spec.ModelName)
	}
	for _, name := range []string{"threads", "embeddings", "pooling", "chat-template", "cache-ram"} {
		if v, ok := e.options[name]; ok {
			args = append(args, "--"+name, v)
		}
	}
	w, err := socketWeb(r, socketName)
	if err != nil {
		return command{}, nil, err
	}
	e.again(w, r)
	return command{path: e.helper, args: args, env: visible(e.spec.gpus()...)}, w, nil
}

// again has the helper told whose prefixes a request may use, and which adapter it is for.
func (*embedded) again(w *web, _ *room) { w.salted, w.adapted = true, true }

// socketWeb calls the engine that listens on a socket in its room.
func socketWeb(r *room, name string) (*web, error) {
	path, err := shim.SocketPath(r.here, name)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	w := newWeb(&url.URL{Scheme: "http", Host: "engine"}, func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", path)
	})
	w.socket = name
	return w, nil
}

func (*embedded) up(ctx context.Context, w *web) error {
	_, err := w.ask(ctx, http.MethodGet, "/health", nil)
	return err
}

// progress asks which part of the model has been loaded.
func (*embedded) progress(ctx context.Context, w *web) (float64, error) {
	var told struct {
		Part float64 `json:"load_progress"`
	}
	err := w.call(ctx, http.MethodGet, "/progress", nil, &told)
	return told.Part, err
}

// settle asks what came of what was wanted: a context is cut to what the model was trained on.
func (e *embedded) settle(ctx context.Context, w *web, _ *room) (facts, error) {
	var models struct {
		Data []struct {
			MaxModelLen uint32          `json:"max_model_len"`
			Able        map[string]bool `json:"capabilities"`
		} `json:"data"`
	}
	if err := w.call(ctx, http.MethodGet, "/v1/models", nil, &models); err != nil {
		return facts{}, err
	}
	var load embeddedLoad
	if err := w.call(ctx, http.MethodGet, "/load", nil, &load); err != nil {
		return facts{}, err
	}
	f := facts{slots: uint32(max(load.Slots, 1)), context: e.spec.Context}
	if len(models.Data) > 0 {
		f.context, f.able = models.Data[0].MaxModelLen, toldAble(models.Data[0].Able)
	}
	return f, nil
}

// toldAble reads which abilities an engine says that it has or lacks; those that it does not name are not known.
func toldAble(told map[string]bool) (a spec.Abilities) {
	for name, can := range told {
		if can {
			a.Can |= spec.AbilityOf(name)
		} else {
			a.Cannot |= spec.AbilityOf(name)
		}
	}
	return a
}

// embeddedLoad is actors/llamacpp.Load.
type embeddedLoad struct {
	Slots      int     `json:"slots"`
	Running    int     `json:"running"`
	Queued     int     `json:"queued"`
	KVUse      float64 `json:"kv_use"`
	PrefillTPS float64 `json:"prefill_tps"`
	DecodeTPS  float64 `json:"decode_tps"`
	Totals     struct {
		Steps     uint64 `json:"steps"`
		Generated uint64 `json:"generated_tokens"`
	} `json:"totals"`
}

func (*embedded) load(ctx context.Context, w *web) (Load, error) {
	var l embeddedLoad
	err := w.call(ctx, http.MethodGet, "/load", nil, &l)
	return Load{Known: err == nil, Running: l.Running, Queued: l.Queued, KVUse: l.KVUse, PrefillTPS: l.PrefillTPS, DecodeTPS: l.DecodeTPS, Written: l.Totals.Generated, Steps: l.Totals.Steps}, err
}

// body needs no change: the helper serves one model and repeats the name that was asked for.
func (*embedded) body(body []byte) ([]byte, error) { return body, nil }

func (*embedded) extras() extras {
	return extras{load: "/v1/load_lora_adapter", unload: "/v1/unload_lora_adapter"}
}
