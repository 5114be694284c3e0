package engine

import (
	"log/slog"
	"time"
)

// The presets.
const (
	Embedded    = "embedded"     // lotabots-engine serves a GGUF by llama.cpp's libraries
	Ollama      = "ollama"       // an ollama of its own
	LlamaServer = "llama-server" // llama.cpp's own server
	External    = "external"     // an engine that somebody else runs
)

// A Config is what the node's operator allows engines to be.
type Config struct {
	Helper      string   // path of lotabots-engine; empty: beside this executable, then in PATH
	Libraries   string   // directory of llama.cpp's; empty: LOTABOTS_LLAMA_LIB, then the cache
	Ollama      string   // path; empty: in PATH
	LlamaServer string   // path; empty: in PATH

	// ExternalURLs are the prefixes that URLs of external engines may have; none: there are no such.
	ExternalURLs []string

	RunDir string        // of logs and of what engines need while they run; must exist
	Grace  time.Duration // how long a stopping engine may finish what it does; 0: 10 s
	Log    *slog.Logger  // nil: none
}

const defaultGrace = 10 * time.Second

// Presets opens engines.
type Presets struct {
	config Config
}

// New returns the presets of c. It looks at nothing yet.
func New(c Config) *Presets {
	if c.Grace <= 0 {
		c.Grace = defaultGrace
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Presets{config: c}
}

// Names lists the presets, whether this node can run them or not.
func (p *Presets) Names() []string { return []string{Embedded, External, LlamaServer, Ollama} }

// Check tells why s could not run here: CodeEngineUnknown, CodeUnsupported for an option,
// CodeEngineUnavailable for what this machine lacks.
func (p *Presets) Check(s Spec) error { return nil }

// Open returns the engine of s, not started. It checks s and touches nothing.
func (p *Presets) Open(s Spec) (Engine, error) { return nil, nil }
