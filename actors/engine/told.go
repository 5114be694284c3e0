package engine

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A Told is what a node tells of one of its presets.
type Told struct {
	Name         string
	Version      string            // of the program: by its own account once it has run, else as it is installed; empty: not known
	Capabilities []string          // without any option
	Lacks        string            // why the node cannot run it; empty: it can
	Own          bool              // described in the node's file
	Options      map[string]string // of one of its own: their types by name
}

// Told lists the presets, in the order of Names. It looks for their programs anew.
func (p *Presets) Told() []Told {
	out := make([]Told, 0, len(p.Names()))
	for _, name := range p.Names() {
		t := Told{Name: name, Capabilities: p.Abilities(name, nil).Can.Names(), Version: p.versions.of(name)}
		var lacks error
		if own, ok := p.named(name); ok {
			t.Own, t.Options = true, own.Types()
			_, lacks = p.program(own)
		} else {
			lacks = p.able(name)
		}
		if lacks != nil {
			t.Lacks, t.Version = lacking(lacks), ""
		} else if t.Version == "" {
			t.Version = p.config.installed(name)
		}
		out = append(out, t)
	}
	return out
}

// lacking is why as one line for people.
func lacking(why error) string {
	if public := (*spec.Error)(nil); errors.As(why, &public) {
		return public.Message
	}
	return why.Error()
}

// able tells why the node cannot run a built-in preset.
func (p *Presets) able(preset string) error {
	if preset == External {
		if len(p.current().ExternalURLs) == 0 {
			return spec.Errorf(spec.CodeEngineUnavailable, "this node allows no external engines: its engines.external-urls is not set")
		}
		return nil
	}
	return p.available(preset)
}

// installed is the version of a built-in preset's program, as far as its files tell.
func (c Config) installed(preset string) string {
	switch preset {
	case Embedded:
		if dir, err := library.Find(c.Libraries); err == nil && pinnedLibraries(dir) {
			return "llama.cpp " + library.Release
		}
	case VLLM:
		if path, err := c.vllm(); err == nil {
			return packageVersion(path, VLLM).String()
		}
	case SGLang:
		if path, err := c.sglang(); err == nil {
			return packageVersion(path, SGLang).String()
		}
	}
	return ""
}

func pinnedLibraries(dir string) bool {
	cache, err := library.Cache()
	return err == nil && filepath.Clean(dir) == filepath.Clean(cache)
}

// String is v as programs write it; empty: it is not known.
func (v version) String() string {
	if !v.known() {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
}
