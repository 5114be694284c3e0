package llamacpp

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/cluster/spec"
)

// adapterName is the header by which the node says which adapter a request is for.
const adapterName = "X-Lotabots-Adapter"

// adapters are the LoRA adapters that are loaded, as requests see them: by name, the file. What one
// adapter makes of a prompt is of no use to another, so that the file is part of the salt.
type adapters struct {
	changing sync.Mutex // one load or unload at a time
	sync.Mutex
	files map[string]string
}

// saltFor is the salt of requests for the adapter; name may be empty.
func (a *adapters) saltFor(salt, name string) (string, error) {
	if name == "" {
		return salt, nil
	}
	a.Lock()
	defer a.Unlock()
	file, ok := a.files[name]
	if !ok {
		return "", spec.Errorf(spec.CodeModelNotFound, "the adapter %.128s is not loaded", name)
	}
	return salt + "\x00" + file, nil
}

func (a *adapters) put(name, file string) {
	a.Lock()
	defer a.Unlock()
	if file == "" {
		delete(a.files, name)
		return
	}
	if a.files == nil {
		a.files = map[string]string{}
	}
	a.files[name] = file
}

func (a *adapters) file(name string) string {
	a.Lock()
	defer a.Unlock()
	return a.files[name]
}

// LoadAdapter loads a LoRA adapter from a GGUF. The one of that name which is loaded already stays, if its
// file is the same; another file is an error while requests use it.
func (e *Engine) LoadAdapter(name, file string) error {
	if e.gen == nil {
		return spec.Errorf(spec.CodeUnsupported, "the model makes embeddings only, and adapters are for generating")
	}
	e.adapters.changing.Lock()
	defer e.adapters.changing.Unlock()
	if e.adapters.file(name) == file {
		return nil
	}
	if err := warmFile(file); err != nil {
		return &spec.Error{Code: spec.CodeEngineUnavailable, Message: "the adapter's file cannot be read", Err: err}
	}
	if err := e.gen.change(adapterChange{name: name, file: file}); err != nil {
		return err
	}
	e.adapters.put(name, file)
	return nil
}

// UnloadAdapter gives the adapter's memory back. It fails while requests use it.
func (e *Engine) UnloadAdapter(name string) error {
	e.adapters.changing.Lock()
	defer e.adapters.changing.Unlock()
	file := e.adapters.file(name)
	if file == "" {
		return nil
	}
	e.adapters.put(name, "") // nobody asks for it any more
	if err := e.gen.change(adapterChange{name: name}); err != nil {
		e.adapters.put(name, file)
		return err
	}
	return nil
}

// warmFile reads a file once, so that the loop, which everybody waits for, finds it in memory.
func warmFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

// An adapterChange is done between two steps: loading changes the model that they compute with.
type adapterChange struct {
	name, file string // no file: unload
	answer     chan error
}

func (g *generator) change(c adapterChange) error {
	c.answer = make(chan error, 1)
	select {
	case g.changes <- c:
		return <-c.answer
	case <-g.done:
		return spec.Errorf(spec.CodeDraining, "the engine is stopping")
	}
}

// adapt carries a change out.
func (g *generator) adapt(c adapterChange) error {
	uses := func(j *job) bool { return j.adapter == c.name }
	old, loaded := g.adapters[c.name]
	if loaded && (slices.ContainsFunc(g.queue, uses) || slices.ContainsFunc(g.slots, func(s *slot) bool { return s.work != nil && uses(s.work.job) })) {
		return spec.Errorf(spec.CodeConflict, "requests use the adapter %s", c.name)
	}
	if loaded {
		if err := g.use(""); err != nil {
			return err
		}
		delete(g.adapters, c.name)
		if err := llama.AdapterLoraFree(old); err != nil {
			return err
		}
	}
	if c.file == "" {
		return nil
	}
	handle, err := llama.AdapterLoraInit(g.model.handle, c.file)
	if err != nil || handle == 0 {
		return &spec.Error{Code: spec.CodeEngineUnavailable, Err: err, Message: "llama.cpp cannot load the adapter " + c.name,
			Hint: "It must be a GGUF that was made of a LoRA for this very model"}
	}
	if llama.AdapterGetAloraNInvocationTokens(handle) > 0 {
		_ = llama.AdapterLoraFree(handle)
		return spec.Errorf(spec.CodeUnsupported, "the adapter %s begins to work at certain tokens, which this engine does not know", c.name)
	}
	g.adapters[c.name] = handle
	return nil
}

// use has the context compute with the adapter; none: with the model alone. It is the context's, not a
// sequence's.
func (g *generator) use(name string) error {
	if name == g.present {
		return nil
	}
	handle, scale := g.adapters[name], float32(1)
	if name == "" { // the binding takes no empty list, and llama.cpp leaves out what has no scale
		handle, scale = g.adapters[g.present], 0
	}
	if handle == 0 {
		return spec.Errorf(spec.CodeModelNotFound, "the adapter %s is not loaded", name)
	}
	if code := llama.SetAdaptersLora(g.ctx, []llama.AdapterLora{handle}, []float32{scale}); code != 0 {
		return spec.Errorf(spec.CodeUpstream, "llama.cpp does not take the adapter %s (%d)", name, code)
	}
	g.present = name
	return nil
}

// turnOf chooses whose sequences the next step is for: those of one adapter, or of none. Adapters take
// turns, in the order of their names.
func turnOf(slots []*slot, last string) string {
	var names []string
	for _, s := range slots {
		if s.work != nil && !slices.Contains(names, s.work.adapter) {
			names = append(names, s.work.adapter)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if name > last {
			return name
		}
	}
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// changeAdapter answers /v1/load_lora_adapter and /v1/unload_lora_adapter, which vLLM has as well.
func (s *Server) changeAdapter(change func(e *Engine, name, file string) error) handler {
	return func(w http.ResponseWriter, r *http.Request, e *Engine) error {
		body, err := readBody(w, r)
		if err != nil {
			return err
		}
		var ask struct {
			Name string `json:"lora_name"`
			Path string `json:"lora_path"`
		}
		if err := json.Unmarshal(body, &ask); err != nil || ask.Name == "" || len(ask.Name) > maxAdapterName {
			return &spec.Error{Code: spec.CodeInvalidRequest, Param: "lora_name", Message: "lora_name must have 1 to 128 bytes", Err: err}
		}
		if err := change(e, ask.Name, ask.Path); err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
		return nil
	}
}

const maxAdapterName = 128

// bare refuses requests for adapters, which generate alone.
func bare(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, e *Engine) error {
		if r.Header.Get(adapterName) != "" {
			return spec.Errorf(spec.CodeUnsupported, "adapters are for chats and completions")
		}
		return h(w, r, e)
	}
}
