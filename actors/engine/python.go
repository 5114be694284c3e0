package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A python is what the drivers of vLLM and SGLang have in common.
type python struct {
	spec      Spec
	options   options
	path      string                 // of the program
	model     string                 // file or directory
	installed version                // as its package says
	room      string                 // directory of its own while it runs
	told      atomic.Pointer[string] // version by the running program's own account
}

// batchSlots is what engines that batch many requests serve at a time, where the deployment does not say.
const batchSlots = 32

func newPython(s Spec, o options, c Config, path, name string) (*python, error) {
	model, err := c.weights(s, o)
	if err == nil {
		err = safeWeights(model, guard{names: true})
	}
	if s.Slots == 0 {
		s.Slots = batchSlots
	}
	return &python{spec: s, options: o, path: path, model: model, installed: packageVersion(path, name)}, err
}

// name is what the engine calls the model.
func (p *python) name() string {
	if p.spec.ModelName != "" {
		return p.spec.ModelName
	}
	return "model"
}

// share is the part of a GPU's memory that was reserved, as a fraction; empty: none was.
func (p *python) share() string {
	d := p.spec.Device
	if d.Kind != device.KindNVIDIA || d.MemoryTotal == 0 || p.spec.MemoryBytes == 0 {
		return ""
	}
	part := float64(p.spec.MemoryBytes) / float64(d.MemoryTotal)
	return strconv.FormatFloat(min(0.98, max(0.02, part)), 'f', 3, 64)
}

// cache is where the program keeps what it compiles, beside the rooms.
func (*python) cache(r *room, preset string) string {
	return cacheOf(r, preset)
}

// again notes where adapters are unpacked.
func (p *python) again(_ *web, r *room) { p.room = r.dir }

// environment keeps the program from the network and from the home of whoever runs the node.
func (p *python) environment(r *room, preset string) ([]string, error) {
	p.again(nil, r)
	cache := p.cache(r, preset)
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, err
	}
	return append(visible(p.spec.gpus()...),
		"HOME="+cache, "XDG_CACHE_HOME="+cache, "TRITON_CACHE_DIR="+filepath.Join(cache, "triton"), "TORCHINDUCTOR_CACHE_DIR="+filepath.Join(cache, "inductor"),
		"HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "HF_HUB_DISABLE_TELEMETRY=1", "DO_NOT_TRACK=1", "PYTHONUNBUFFERED=1"), nil
}

// up is well once the model is loaded: both programs listen only then, or answer 503.
func (*python) up(ctx context.Context, w *web) error {
	_, err := w.ask(ctx, http.MethodGet, "/health", nil)
	return err
}

// settle takes the context that the program has chosen.
func (p *python) settle(ctx context.Context, w *web, _ *room) (facts, error) {
	var models struct {
		Data []struct {
			MaxModelLen uint32 `json:"max_model_len"`
		} `json:"data"`
	}
	if err := w.call(ctx, http.MethodGet, "/v1/models", nil, &models); err != nil {
		return facts{}, fmt.Errorf("it does not tell its model: %w", err)
	}
	f := facts{slots: p.spec.Slots, context: p.spec.Context, able: p.nativeAble(ctx, w)}
	if len(models.Data) > 0 && models.Data[0].MaxModelLen > 0 {
		f.context = models.Data[0].MaxModelLen
	}
	return f, nil
}

// askVersion keeps the version that the program tells at one of the paths; it serves without one as well.
func (p *python) askVersion(ctx context.Context, w *web, paths ...string) {
	for _, path := range paths {
		var answer struct {
			Version string `json:"version"`
		}
		if w.call(ctx, http.MethodGet, path, nil, &answer) == nil && answer.Version != "" {
			p.told.Store(&answer.Version)
			return
		}
	}
}

// saltsBody: both take cache_salt.
func (*python) saltsBody() {}

func (p *python) version() string { return toldBy(&p.told) }

// body has the model's name as the program knows it; a deployment's own name is that already.
func (p *python) body(body []byte) ([]byte, error) {
	if p.spec.ModelName != "" {
		return body, nil
	}
	return withModel(body, p.name())
}

func (p *python) knownAs() string {
	if p.spec.ModelName != "" {
		return ""
	}
	return p.name()
}

// maxRank is the largest of adapters, which both programs want to know before there are any.
const maxRank = "64"

// adapters is how many the program has room for.
func (p *python) adapters() int {
	if n := p.options.number(MaxAdapters); n > 0 {
		return n
	}
	return DefaultAdapters
}

// adapterFile is a directory: one of the machine's, or what was imported as a tar.
func (p *python) adapterFile(name, file string) (string, error) {
	info, err := os.Stat(file)
	dir := file
	if err == nil && !info.IsDir() {
		dir = p.unpacked(name)
		err = unpack(file, dir)
	}
	if err == nil && !has(dir, adapterWeights) { // what else is there, the programs would look at
		err = errors.New("it has no " + adapterWeights + ", and pickles are not loaded")
	}
	if err != nil {
		return "", &spec.Error{Code: spec.CodeEngineUnavailable, Message: "the adapter " + name + " is not what the engine loads: " + err.Error(), Err: err,
			Hint: "Import a tar of " + adapterConfig + " and " + adapterWeights}
	}
	return dir, nil
}

func (p *python) unpacked(name string) string { return filepath.Join(p.room, "lora-"+name) }

func (p *python) dropAdapter(name string) { _ = os.RemoveAll(p.unpacked(name)) }

// adapterBody has the adapter's name for the model's: the client's own could be given twice, or in capitals.
func (p *python) adapterBody(_ string, body []byte, adapter string) ([]byte, error) {
	switch {
	case adapter != "":
		return withModel(body, adapter)
	case p.options["lora"] == "on":
		return withModel(body, p.name())
	}
	return body, nil
}
