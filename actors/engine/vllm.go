package engine

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
)

// vllm drives vLLM's server: on a socket in the engine's room where the version can, else on a port of
// the loopback interface, where its key covers only what begins with /v1.
type vllm struct{ *python }

// Versions from which on vLLM has what the preset uses; where the version is not known it is taken for
// a new one.
var (
	vllmSocket  = version{0, 11, 0} // --uds
	vllmRunner  = version{0, 10, 1} // --runner instead of --task
	vllmSilence = version{0, 10, 0} // requests are not logged unless it is asked for
)

func newVLLM(s Spec, o options, c Config) (driver, error) {
	path, err := c.vllm()
	if err != nil {
		return nil, err
	}
	p, err := newPython(s, o, c, path, VLLM)
	return &vllm{p}, err
}

func (e *vllm) launch(r *room) (command, *web, error) {
	env, err := e.environment(r, VLLM)
	if err != nil {
		return command{}, nil, err
	}
	args := []string{"serve", e.model, "--served-model-name", e.name(), "--max-num-seqs", strconv.FormatUint(uint64(e.spec.Slots), 10),
		"--enable-prompt-tokens-details", "--disable-uvicorn-access-log"}
	where, w, err := e.address(r)
	if err != nil {
		return command{}, nil, err
	}
	args = append(append(args, where...), e.limits()...)
	args = append(append(args, e.chosen()...), loadFormat(e.model)...)
	key := rand.Text()
	w.always = http.Header{"Authorization": {"Bearer " + key}}
	env = append(env, "VLLM_API_KEY="+key, "VLLM_NO_USAGE_STATS=1", "VLLM_CACHE_ROOT="+filepath.Join(e.cache(r, VLLM), "vllm"))
	if e.options["lora"] == "on" {
		n := strconv.Itoa(e.adapters())
		args, env = append(args, "--enable-lora", "--max-loras", n, "--max-cpu-loras", n, "--max-lora-rank", maxRank), append(env, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True")
	}
	if e.options["sleep"] == "on" { // its development mode opens more than that, to whoever reaches it
		if w.socket == "" {
			return command{}, nil, &spec.Error{Code: spec.CodeEngineUnavailable, Param: "options.sleep", Message: "this vLLM can sleep only where every user of the machine may command it",
				Hint: "Install vLLM 0.11 or later, which listens on a socket, or leave the option out"}
		}
		args, env = append(args, "--enable-sleep-mode"), append(env, "VLLM_SERVER_DEV_MODE=1")
	}
	return command{path: e.path, args: args, env: env, leash: true}, w, nil
}

// address chooses where it listens.
func (e *vllm) address(r *room) (args []string, w *web, err error) {
	if !e.installed.before(vllmSocket) {
		w, err := socketWeb(r, socketName)
		return []string{"--uds", socketName}, w, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, nil, err
	}
	host, port, err := net.SplitHostPort(address)
	return []string{"--host", host, "--port", port}, newWeb(&url.URL{Scheme: "http", Host: address}, nil), err
}

// limits are what the deployment and the device allow.
func (e *vllm) limits() (args []string) {
	if e.spec.Context > 0 {
		args = append(args, "--max-model-len", strconv.FormatUint(uint64(e.spec.Context), 10))
	}
	if share := e.share(); share != "" {
		args = append(args, "--gpu-memory-utilization", share)
	}
	if n := len(e.spec.gpus()); n > 1 {
		args = append(args, "--tensor-parallel-size", strconv.Itoa(n))
	}
	if e.installed.before(vllmSilence) {
		args = append(args, "--disable-log-requests")
	}
	return args
}

// chosen are the deployment's options.
func (e *vllm) chosen() (args []string) {
	for _, o := range []struct{ option, flag string }{
		{"dtype", "--dtype"}, {"quantization", "--quantization"}, {"kv-cache-dtype", "--kv-cache-dtype"}, {"reasoning-parser", "--reasoning-parser"},
	} {
		if v := e.options[o.option]; v != "" {
			args = append(args, o.flag, v)
		}
	}
	if v := e.options["tool-parser"]; v != "" {
		args = append(args, "--enable-auto-tool-choice", "--tool-call-parser", v)
	}
	if e.options["prefix-caching"] == "off" {
		args = append(args, "--no-enable-prefix-caching")
	}
	task := e.options["task"]
	switch {
	case task == "" || task == "generate":
	case e.installed.before(vllmRunner):
		args = append(args, "--task", map[string]string{"embed": "embed", "rerank": "score"}[task])
	case task == "embed":
		args = append(args, "--runner", "pooling", "--convert", "embed")
	default:
		args = append(args, "--runner", "pooling", "--convert", "classify")
	}
	return args
}

func (e *vllm) extras() (x extras) {
	if e.options["lora"] == "on" {
		x.load, x.unload = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
	}
	if e.options["sleep"] == "on" {
		x.sleep, x.wake = "/sleep", "/wake_up"
	}
	return x
}

func (e *vllm) settle(ctx context.Context, w *web, r *room) (facts, error) {
	e.askVersion(ctx, w, "/version")
	return e.python.settle(ctx, w, r)
}

func (*vllm) load(ctx context.Context, w *web) (Load, error) { return gaugedLoad(ctx, w, VLLM) }
