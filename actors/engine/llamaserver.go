package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine/account"
	"github.com/lotabots/lotabots/cluster/spec"
)

// llamaServer drives llama.cpp's llama-server, on a socket where it knows them, else on a port of the loopback
// interface. A random key keeps other users of the machine out.
type llamaServer struct {
	spec    Spec
	options options
	path    string
	user    *account.Account       // as in Config
	told    atomic.Pointer[string] // version
}

const (
	defaultSlots   = 4
	defaultContext = 8192 // tokens per request; the servers cut it to what the model was trained on
)

func newLlamaServer(s Spec, o options, c Config) (driver, error) {
	path, err := c.llamaServer()
	if err != nil {
		return nil, err
	}
	model, err := filepath.Abs(s.Model)
	s.Model = model
	return &llamaServer{spec: s.withDefaults(), options: o, path: path, user: c.User}, err
}

func (s Spec) withDefaults() Spec {
	if s.Slots == 0 {
		s.Slots = defaultSlots
	}
	if s.Context == 0 {
		s.Context = defaultContext
	}
	return s
}

func (e *llamaServer) launch(r *room) (command, *web, error) {
	where, w, err := e.address(r)
	if err != nil {
		return command{}, nil, err
	}
	args := append(append([]string{"-m", e.spec.Model}, where...),
		"--metrics",
		"-np", strconv.FormatUint(uint64(e.spec.Slots), 10),
		"-c", strconv.FormatUint(uint64(e.spec.Context)*uint64(e.spec.Slots), 10), // of all slots together
		"-ngl", strconv.Itoa(e.layers()),
	)
	if e.spec.ModelName != "" {
		args = append(args, "--alias", e.spec.ModelName)
	}
	if n := threads(e.options, e.spec.Model); n > 0 {
		args = append(args, "-t", strconv.Itoa(n))
	}
	if e.options["embeddings"] == "on" { // an input has to fit into one batch
		args = append(args, "--embeddings", "-ub", strconv.FormatUint(uint64(min(max(e.spec.Context, 512), maxBatch)), 10))
	}
	if p := e.pooling(); p != "" {
		args = append(args, "--pooling", p)
	}
	for _, a := range e.spec.Adapters {
		args = append(args, "--lora", a.Path)
	}
	if len(e.spec.Adapters) > 0 {
		args = append(args, "--lora-init-without-apply")
	}
	e.again(w, r)
	key := rand.Text()
	w.always = http.Header{"Authorization": {"Bearer " + key}}
	// What older versions do not know goes by the environment, which they do not read: no page for browsers,
	// and less memory for conversations that have lost their slot than the 8 GiB that are its default.
	env := append(visible(e.spec.gpus()...), "LLAMA_API_KEY="+key, "HOME="+r.home, "LLAMA_ARG_UI=0", "LLAMA_ARG_WEBUI=0", "LLAMA_ARG_CACHE_RAM=256")
	return command{path: e.path, args: args, env: env, leash: true}, w, nil
}

// again knows that the server closes connections that are kept, under load, just when the next request is sent.
func (*llamaServer) again(w *web, _ *room) { w.fresh = true }

// maxBatch bounds the memory that one batch of an embedding's takes.
const maxBatch = 2048

// serverSocket ends as llama-server wants sockets' names to.
const serverSocket = "s.sock"

// address chooses where it listens.
func (e *llamaServer) address(r *room) (args []string, w *web, err error) {
	if tellsOf(e.path, "unix socket", e.user) {
		w, err := socketWeb(r, serverSocket)
		return []string{"--host", serverSocket}, w, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, nil, err
	}
	host, port, err := net.SplitHostPort(address)
	return []string{"--host", host, "--port", port}, newWeb(&url.URL{Scheme: "http", Host: address}, nil), err
}

// pooling is how tokens' embeddings become one; empty: as the model says. Of a model that says nothing,
// the server would refuse to tell embeddings in OpenAI's form.
func (e *llamaServer) pooling() string {
	if p := e.options["pooling"]; p != "" || e.options["embeddings"] != "on" || saysPooling(e.spec.Model) {
		return p
	}
	return "mean"
}

func (e *llamaServer) layers() int {
	const all = 999
	if _, ok := e.options["gpu-layers"]; ok {
		return e.options.number("gpu-layers")
	}
	if e.spec.Device.Kind == device.KindNVIDIA {
		return all
	}
	return 0
}

func (*llamaServer) up(ctx context.Context, w *web) error {
	_, err := w.ask(ctx, http.MethodGet, "/health", nil) // 503 while it loads
	return err
}

// settle takes what the server tells of itself; versions that tell nothing have what was asked for.
func (e *llamaServer) settle(ctx context.Context, w *web, _ *room) (facts, error) {
	f := facts{slots: e.spec.Slots, context: e.spec.Context}
	var props struct {
		Slots      uint32          `json:"total_slots"`
		Build      string          `json:"build_info"`
		Modalities map[string]bool `json:"modalities"`
		Defaults   struct {
			Context uint32 `json:"n_ctx"`
		} `json:"default_generation_settings"`
	}
	if w.call(ctx, http.MethodGet, "/props", nil, &props) != nil {
		return f, ctx.Err()
	}
	if props.Build != "" {
		e.told.Store(&props.Build)
	}
	for told, able := range map[string]spec.Ability{"vision": spec.AbleImages, "audio": spec.AbleAudio} {
		switch can, tells := props.Modalities[told]; {
		case can:
			f.able.Can |= able
		case tells:
			f.able.Cannot |= able
		}
	}
	if n := props.Slots; n > 0 && n < f.slots {
		f.slots = n
	}
	if n := props.Defaults.Context; n > 0 && n < f.context {
		f.context = n
	}
	return f, nil
}

func (e *llamaServer) version() string { return toldBy(&e.told) }

func (*llamaServer) load(ctx context.Context, w *web) (Load, error) {
	return gaugedLoad(ctx, w, LlamaServer)
}

// body needs no change: the server has one model and takes any name for it.
func (*llamaServer) body(body []byte) ([]byte, error) { return body, nil }

// freeAddress finds a port for a server that cannot be handed a listener. Somebody else may take it in
// between: then the server ends at once, and is started again.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// adapterBody names the request's adapter by its number at the start; none is as much as no scale for any.
func (e *llamaServer) adapterBody(path string, body []byte, adapter string) ([]byte, error) {
	writes := path == "/v1/chat/completions" || path == "/v1/completions"
	switch i := slices.IndexFunc(e.spec.Adapters, func(a AdapterFile) bool { return a.Name == adapter }); {
	case adapter == "" && (!writes || len(e.spec.Adapters) == 0):
		return body, nil
	case adapter == "":
		return withValue(body, "lora", []byte("[]"))
	case i < 0 || !writes:
		return nil, spec.Errorf(spec.CodeUnsupported, "the engine has no adapter %s for %s", adapter, path)
	default:
		return withValue(body, "lora", fmt.Appendf(nil, `[{"id":%d,"scale":1}]`, i))
	}
}
