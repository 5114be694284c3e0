package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
)

// ollama drives an ollama serve of the engine's own, on a port of the loopback interface and with its
// home and its models in the engine's room: nothing is shared with an Ollama that somebody uses here.
// The GGUF is lent to its store by a link, not copied.
type ollama struct {
	spec    Spec
	options options
	path    string
	name    string // of the model inside
	told    atomic.Pointer[string]
}

// ollamaName is what Ollama takes for a model's name, without its namespaces.
var ollamaName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$`)

func newOllama(s Spec, o options, c Config) (driver, error) {
	path, err := c.ollama()
	if err != nil {
		return nil, err
	}
	model, err := filepath.Abs(s.Model)
	s.Model = model
	name := s.ModelName
	if name == "" {
		name = s.Deployment
	}
	if !ollamaName.MatchString(name) {
		name = "model"
	}
	return &ollama{spec: s.withDefaults(), options: o, path: path, name: name}, err
}

func (e *ollama) launch(r *room) (command, *web, error) {
	address, err := freeAddress()
	if err != nil {
		return command{}, nil, err
	}
	if err := os.MkdirAll(filepath.Join(modelsDir(r), "blobs"), 0o700); err != nil {
		return command{}, nil, err
	}
	env := append(visible(e.spec.gpus()...),
		"OLLAMA_HOST="+address, "HOME="+r.home, "OLLAMA_MODELS="+modelsDir(r),
		"OLLAMA_NUM_PARALLEL="+strconv.FormatUint(uint64(e.spec.Slots), 10),
		"OLLAMA_MAX_LOADED_MODELS=1", "OLLAMA_KEEP_ALIVE=-1", // it stays loaded until it is stopped
		"OLLAMA_NOPRUNE=1")
	if e.spec.Device.Kind != device.KindNVIDIA {
		env = append(env, "OLLAMA_LLM_LIBRARY=cpu")
	}
	if len(e.spec.Others) > 0 {
		env = append(env, "OLLAMA_SCHED_SPREAD=1") // over all of them, though one might do
	}
	return command{path: e.path, args: []string{"serve"}, env: env, leash: true},
		newWeb(&url.URL{Scheme: "http", Host: address}, nil), nil
}

func modelsDir(r *room) string { return filepath.Join(r.home, "models") }

func (e *ollama) up(ctx context.Context, w *web) error {
	var answer struct {
		Version string `json:"version"`
	}
	raw, err := w.ask(ctx, http.MethodGet, "/api/version", nil)
	if err == nil && json.Unmarshal(raw, &answer) == nil && answer.Version != "" {
		e.told.Store(&answer.Version)
	}
	return err
}

func (e *ollama) version() string { return toldBy(&e.told) }

// create is the question of POST /api/create: a Modelfile, spelled out.
type create struct {
	Model      string            `json:"model"`
	Files      map[string]string `json:"files"`
	Template   string            `json:"template,omitempty"`
	Parameters map[string]int    `json:"parameters"`
	Stream     bool              `json:"stream"`
}

// settle makes the model and has it loaded.
func (e *ollama) settle(ctx context.Context, w *web, r *room) (facts, error) {
	digest, err := e.lend(ctx, r)
	if err != nil {
		return facts{}, err
	}
	f := facts{slots: e.spec.Slots, context: e.spec.Context}
	if err := e.create(ctx, w, digest, f.context); err != nil {
		return facts{}, err
	}
	trained, able, err := e.shown(ctx, w)
	if err != nil {
		return facts{}, err
	}
	f.able = able
	if trained > 0 && trained < f.context {
		f.context = trained
		if err := e.create(ctx, w, digest, f.context); err != nil {
			return facts{}, err
		}
	}
	return f, e.preload(ctx, w)
}

// lend puts a link to the GGUF where Ollama looks for uploads, and returns its digest.
func (e *ollama) lend(ctx context.Context, r *room) (string, error) {
	file, err := os.Open(e.spec.Model)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, readWhile(ctx, file)); err != nil {
		return "", fmt.Errorf("read the model: %w", err)
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	return "sha256:" + digest, e.link(r, digest)
}

// link puts it there. The directory is the engine's, which may run as another user: no link of its leads out.
func (e *ollama) link(r *room, digest string) error {
	home, err := os.OpenRoot(r.home)
	if err != nil {
		return err
	}
	defer home.Close()
	err = home.Symlink(e.spec.Model, filepath.Join("models", "blobs", "sha256-"+digest))
	if errors.Is(err, os.ErrExist) { // the process of the node before this one had got so far
		err = nil
	}
	return err
}

func (e *ollama) create(ctx context.Context, w *web, digest string, tokens uint32) error {
	c := create{
		Model: e.name, Files: map[string]string{"model.gguf": digest}, Template: e.options["template"],
		Parameters: map[string]int{"num_ctx": int(tokens)},
	}
	if n := threads(e.options, e.spec.Model); n > 0 {
		c.Parameters["num_thread"] = n
	}
	if _, ok := e.options["gpu-layers"]; ok {
		c.Parameters["num_gpu"] = e.options.number("gpu-layers")
	}
	var answer struct {
		Status string `json:"status"`
	}
	if err := w.call(ctx, http.MethodPost, "/api/create", c, &answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("making the model ended with %.100q", answer.Status)
	}
	return nil
}

// shown is the model's own context, 0: it is not told; and what it can.
func (e *ollama) shown(ctx context.Context, w *web) (uint32, spec.Abilities, error) {
	var shown struct {
		Info         map[string]any `json:"model_info"`
		Capabilities []string       `json:"capabilities"`
	}
	if err := w.call(ctx, http.MethodPost, "/api/show", map[string]string{"model": e.name}, &shown); err != nil {
		return 0, spec.Abilities{}, err
	}
	able := ollamaAble(shown.Capabilities)
	for key, value := range shown.Info {
		if n, ok := value.(float64); ok && strings.HasSuffix(key, ".context_length") && n >= 1 && n <= maxContext {
			return uint32(n), able, nil
		}
	}
	return 0, able, nil
}

// ollamaAble reads what Ollama tells of a model. Versions that tell nothing leave all open.
func ollamaAble(told []string) (a spec.Abilities) {
	if len(told) == 0 {
		return a
	}
	for name, able := range map[string]spec.Ability{"completion": writes, "embedding": spec.AbleEmbed, "tools": spec.AbleTools, "vision": spec.AbleImages, "audio": spec.AbleAudio} {
		if slices.Contains(told, name) {
			a.Can |= able
		} else {
			a.Cannot |= able
		}
	}
	if a.Can&writes != 0 { // these embed as well
		a.Cannot &^= spec.AbleEmbed
	}
	return a
}

// preload has the model loaded before the first client asks. Models that only embed refuse to generate.
func (e *ollama) preload(ctx context.Context, w *web) error {
	err := w.call(ctx, http.MethodPost, "/api/generate", wake{Model: e.name, KeepAlive: -1}, nil)
	if refused := (*statusError)(nil); errors.As(err, &refused) && refused.status == http.StatusBadRequest {
		err = w.call(ctx, http.MethodPost, "/api/embed", wake{Model: e.name, KeepAlive: -1, Input: "a"}, nil)
	}
	return err
}

// wake is a question of /api/generate or /api/embed that only has the model loaded.
type wake struct {
	Model     string `json:"model"`
	KeepAlive int    `json:"keep_alive"`
	Input     string `json:"input,omitempty"`
	Stream    bool   `json:"stream"`
}

// load is not told by Ollama; whoever counts its requests knows more.
func (*ollama) load(context.Context, *web) (Load, error) { return Load{}, nil }

func (e *ollama) body(body []byte) ([]byte, error) { return withModel(body, e.name) }

func (e *ollama) knownAs() string { return e.name }
