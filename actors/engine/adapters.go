package engine

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	// MaxAdapters is the option that says how many adapters an instance has loaded at a time.
	MaxAdapters     = "max-loras"
	DefaultAdapters = 8
)

// Adapters is what an Engine has that loads LoRA adapters while it runs; those that cannot answer with
// CodeUnsupported.
type Adapters interface {
	// LoadAdapter loads the adapter from a file: a GGUF for llama.cpp's engines, for the others a tar of a
	// PEFT directory, or the directory itself. Loading one that is loaded is no error.
	LoadAdapter(ctx context.Context, name, path string) error
	UnloadAdapter(ctx context.Context, name string) error
}

// An AdapterFile is one of a deployment's adapters. Path is empty where the engine loads it while it runs.
type AdapterFile struct{ Name, Path string }

// AdaptersAtStart tells whether engines of the preset take their adapters when they start.
func AdaptersAtStart(preset string) bool { return preset == LlamaServer }

// CheckAdapters tells why engines of that preset and options serve no adapters. No node is asked: engines of
// a node's own description take none.
func CheckAdapters(preset string, o map[string]string) error {
	if abilities(preset, o).Can&spec.AbleAdapters != 0 {
		return nil
	}
	e := &spec.Error{Code: spec.CodeUnsupported, Param: "adapters", Message: fmt.Sprintf("the engine %.60s takes no adapters", preset),
		Hint: "Use embedded, llama-server, vllm or sglang"}
	if preset == VLLM || preset == SGLang {
		e.Message = fmt.Sprintf("the engine %s takes adapters with the option lora=on, for generating text", preset)
		e.Hint = "Add the option lora=on"
	}
	return e
}

// What a driver may have beside its methods for the sake of adapters.
type (
	// an adapterFiler makes of what was imported what the program loads.
	adapterFiler interface {
		adapterFile(name, file string) (string, error)
		dropAdapter(name string)
	}
	// an adapterTeller has the body say whose request it is; empty: no adapter's.
	adapterTeller interface {
		adapterBody(path string, body []byte, adapter string) ([]byte, error)
	}
)

// LoadAdapter implements Adapters.
func (l *local) LoadAdapter(ctx context.Context, name, file string) error {
	if !plainBytes(name, "._:-") || name == "" {
		return invalid("adapters", "an adapter's name has letters, digits, '.', '_', ':' and '-'")
	}
	if AdaptersAtStart(l.spec.Preset) {
		return nil
	}
	if d, ok := l.driver.(adapterFiler); ok {
		var err error
		if file, err = d.adapterFile(name, file); err != nil {
			return err
		}
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	err = l.extra(ctx, "load adapters", func(e extras) string { return e.load }, adapter{name, file})
	if refused := (*statusError)(nil); errors.As(err, &refused) && refused.status == http.StatusBadRequest && strings.Contains(refused.text, "already") {
		return nil // by the node's process before this one
	}
	return err
}

// UnloadAdapter implements Adapters.
func (l *local) UnloadAdapter(ctx context.Context, name string) error {
	if AdaptersAtStart(l.spec.Preset) {
		return nil
	}
	err := l.extra(ctx, "unload adapters", func(e extras) string { return e.unload }, adapter{Name: name})
	if d, ok := l.driver.(adapterFiler); ok && err == nil {
		d.dropAdapter(name)
	}
	return err
}

// adapter is vLLM's and SGLang's question, and the embedded engine's.
type adapter struct {
	Name string `json:"lora_name"`
	Path string `json:"lora_path,omitempty"`
}

// adapted has the request tell its adapter. Where a program is told by the body, what the client has put
// there about adapters is replaced: the gateway has judged the model's name alone.
func (l *local) adapted(path string, head *Head, body []byte) ([]byte, error) {
	name := head.Adapter
	if d, ok := l.driver.(adapterTeller); ok {
		return d.adapterBody(path, body, name)
	}
	if name != "" && l.spec.Preset != Embedded {
		return nil, spec.Errorf(spec.CodeUnsupported, "the engine %s takes no adapters as it was deployed", l.spec.Preset)
	}
	return body, nil
}

// maxUnpacked bounds what is unpacked of an adapter.
const maxUnpacked = 16 << 30

// unpack writes the configuration and the weights of a PEFT adapter, which are all that is taken of the tar,
// into the new directory dir. The room that it is in keeps out who is not to read it.
func unpack(file, dir string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { // whatever the umask
		return err
	}
	found, left := map[string]bool{}, int64(maxUnpacked)
	for archive := tar.NewReader(in); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("it is no whole tar: %w", err)
		}
		name := filepath.Base(h.Name)
		if h.Typeflag != tar.TypeReg || found[name] || name != adapterConfig && name != adapterWeights {
			continue
		}
		if left -= h.Size; left < 0 {
			return fmt.Errorf("its files have more than %d bytes", int64(maxUnpacked))
		}
		if err := writeFrom(filepath.Join(dir, name), archive); err != nil {
			return err
		}
		found[name] = true
	}
	if !found[adapterConfig] || !found[adapterWeights] {
		return fmt.Errorf("it lacks %s or %s", adapterConfig, adapterWeights)
	}
	return nil
}

const (
	adapterConfig  = "adapter_config.json"
	adapterWeights = "adapter_model" + safetensors
)

func writeFrom(file string, r io.Reader) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Chmod(0o644), out.Close())
}
