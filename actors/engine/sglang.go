package engine

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sglang drives SGLang's server on a port of the loopback interface. Its key is handed over in a file
// of the engine's room, since arguments are for everybody on the machine to read; that takes a version
// which knows --config.
type sglang struct{ *python }

const sglangConfig = "engine.yaml"

// sglangShare is the part of the reserved memory that goes to weights and KV cache; the rest is what
// activations take, which SGLang does not count.
const sglangShare = 0.9

func newSGLang(s Spec, o options, c Config) (driver, error) {
	path, err := c.sglang()
	if err != nil {
		return nil, err
	}
	p, err := newPython(s, o, c, path, SGLang)
	return &sglang{p}, err
}

func (e *sglang) launch(r *room) (command, *web, error) {
	env, err := e.environment(r, SGLang)
	if err != nil {
		return command{}, nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return command{}, nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return command{}, nil, err
	}
	key := rand.Text()
	if err := os.WriteFile(filepath.Join(r.home, sglangConfig), []byte("api-key: "+key+"\n"), 0o600); err != nil {
		return command{}, nil, err
	}
	args := []string{"serve"}
	if strings.HasPrefix(filepath.Base(e.path), "python") {
		args = []string{"-m", "sglang.launch_server"}
	}
	args = append(args, "--config", sglangConfig, "--model-path", e.model, "--served-model-name", e.name(), "--host", host, "--port", port,
		"--enable-metrics", "--enable-cache-report", "--max-running-requests", strconv.FormatUint(uint64(e.spec.Slots), 10))
	args = append(append(append(args, e.limits()...), e.chosen()...), loadFormat(e.model)...)
	w := newWeb(&url.URL{Scheme: "http", Host: address}, nil)
	w.always = http.Header{"Authorization": {"Bearer " + key}}
	return command{path: e.path, args: args, env: env, leash: true}, w, nil
}

func (e *sglang) limits() (args []string) {
	if e.spec.Context > 0 {
		args = append(args, "--context-length", strconv.FormatUint(uint64(e.spec.Context), 10))
	}
	if share := e.share(); share != "" {
		part, _ := strconv.ParseFloat(share, 64) // share has written it
		args = append(args, "--mem-fraction-static", strconv.FormatFloat(part*sglangShare, 'f', 3, 64))
	}
	if n := len(e.spec.gpus()); n > 1 {
		args = append(args, "--tp-size", strconv.Itoa(n))
	}
	return args
}

func (e *sglang) chosen() (args []string) {
	for _, o := range []struct{ option, flag string }{
		{"dtype", "--dtype"}, {"quantization", "--quantization"}, {"kv-cache-dtype", "--kv-cache-dtype"},
		{"reasoning-parser", "--reasoning-parser"}, {"tool-parser", "--tool-call-parser"},
	} {
		if v := e.options[o.option]; v != "" {
			args = append(args, o.flag, v)
		}
	}
	if e.options["prefix-caching"] == "off" {
		args = append(args, "--disable-radix-cache")
	}
	if e.options["lora"] == "on" {
		n := e.adapters()
		args = append(args, "--enable-lora", "--max-loaded-loras", strconv.Itoa(n), "--max-loras-per-batch", strconv.Itoa(min(n, DefaultAdapters)), "--max-lora-rank", maxRank, "--lora-target-modules", "all")
	}
	if e.options["sleep"] == "on" {
		args = append(args, "--enable-memory-saver")
	}
	if t := e.options["task"]; t == "embed" || t == "rerank" {
		args = append(args, "--is-embedding")
	}
	return args
}

func (e *sglang) extras() (x extras) {
	if e.options["lora"] == "on" {
		x.load, x.unload = "/load_lora_adapter", "/unload_lora_adapter"
	}
	if e.options["sleep"] == "on" {
		x.sleep, x.wake = "/release_memory_occupation", "/resume_memory_occupation"
	}
	return x
}

func (e *sglang) settle(ctx context.Context, w *web, r *room) (facts, error) {
	e.askVersion(ctx, w, "/server_info", "/get_server_info")
	return e.python.settle(ctx, w, r)
}

func (*sglang) load(ctx context.Context, w *web) (Load, error) { return gaugedLoad(ctx, w, SGLang) }
