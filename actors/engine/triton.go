package engine

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

// triton drives NVIDIA's Triton server with one model of the node's repository (engines.models), on
// ports of the loopback interface. It speaks KServe's protocol, under /v2.
type triton struct {
	spec       Spec
	path       string
	repository string
	model      string // in it
	grace      time.Duration
	metrics    atomic.Pointer[web]
	told       atomic.Pointer[string]
}

const tritonSlots = 8

func newTriton(s Spec, o options, c Config) (driver, error) {
	path, err := c.triton()
	if err != nil {
		return nil, err
	}
	model, err := c.weights(s, o)
	if s.Slots == 0 {
		s.Slots = tritonSlots
	}
	return &triton{spec: s, path: path, repository: filepath.Dir(model), model: filepath.Base(model), grace: c.Grace}, err
}

func needsWeights() error {
	return invalid("options.weights", "the preset triton needs the option weights: the model's name in the node's engines.models")
}

func (e *triton) launch(r *room) (command, *web, error) {
	var ports [2]string
	var at, aside string
	for i := range ports {
		address, err := freeAddress()
		if err != nil {
			return command{}, nil, err
		}
		if _, ports[i], err = net.SplitHostPort(address); err != nil {
			return command{}, nil, err
		}
		if i == 0 {
			at = address
		} else {
			aside = address
		}
	}
	w := newWeb(&url.URL{Scheme: "http", Host: at}, nil)
	w.aside = aside
	e.again(w, r)
	const host = "127.0.0.1"
	args := []string{"--model-repository=" + e.repository, "--model-control-mode=explicit", "--load-model=" + e.model, "--strict-readiness=true",
		"--http-address=" + host, "--http-port=" + ports[0], "--allow-grpc=false", "--allow-metrics=true",
		"--metrics-address=" + host, "--metrics-port=" + ports[1],
		"--exit-timeout-secs=" + strconv.Itoa(max(1, int(e.grace/time.Second)))}
	env := append(visible(e.spec.gpus()...), "HOME="+r.home)
	return command{path: e.path, args: args, env: env, leash: true}, w, nil
}

// again finds the metrics of the engine that w reaches.
func (e *triton) again(w *web, _ *room) {
	e.metrics.Store(newWeb(&url.URL{Scheme: "http", Host: w.aside}, nil))
}

func (e *triton) up(ctx context.Context, w *web) error {
	_, err := w.ask(ctx, http.MethodGet, "/v2/models/"+e.model+"/ready", nil)
	return err
}

func (e *triton) settle(ctx context.Context, w *web, _ *room) (facts, error) {
	var server struct {
		Version string `json:"version"`
	}
	if w.call(ctx, http.MethodGet, "/v2", nil, &server) == nil {
		e.told.Store(&server.Version)
	}
	return facts{slots: e.spec.Slots, context: e.spec.Context}, ctx.Err()
}

func (e *triton) version() string { return toldBy(&e.told) }

func (e *triton) load(ctx context.Context, _ *web) (Load, error) {
	w := e.metrics.Load()
	if w == nil {
		return Load{}, nil
	}
	return gaugedLoad(ctx, w, Triton)
}

// body needs no change: the path names the model.
func (*triton) body(body []byte) ([]byte, error) { return body, nil }

func (e *triton) knownAs() string { return e.model }
