package engine

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/actors/egress"
	"github.com/lotabots/lotabots/actors/engine/account"
	"github.com/lotabots/lotabots/actors/engine/custom"
	"github.com/lotabots/lotabots/cluster/spec"
)

// The presets.
const (
	Embedded    = "embedded"     // lotabots-engine serves a GGUF by llama.cpp's libraries
	Ollama      = "ollama"       // an ollama of its own
	LlamaServer = "llama-server" // llama.cpp's own server
	VLLM        = "vllm"
	SGLang      = "sglang"
	Triton      = "triton"   // NVIDIA's inference server, with a model of the node's own
	External    = "external" // an engine that somebody else runs
)

// A Config is what the node's operator allows engines to be.
type Config struct {
	Helper      string // path of lotabots-engine; empty: beside this executable, then in PATH
	Libraries   string // directory of llama.cpp's; empty: LOTABOTS_LLAMA_LIB, then the cache
	Ollama      string // path; empty: in PATH
	LlamaServer string // path; empty: in PATH
	VLLM        string // path; empty: in PATH
	SGLang      string // path of sglang, or of a python that has it; empty: sglang in PATH
	Triton      string // path of tritonserver; empty: in PATH

	// Models is a directory of models that cannot be imported, such as those of several files; Triton
	// takes it for its repository. Deployments name its entries by the option weights. Empty: none.
	Models string

	// Presets are those of the node's own, which custom.Check has passed.
	Presets []custom.Preset

	// ExternalURLs are the prefixes that URLs of external engines may have; none: there are no such.
	// A prefix ends at a path's segment: http://h:1/a allows http://h:1/a/b, not http://h:1/ab.
	ExternalURLs []string

	// Egress judges the addresses that they have, on every connection.
	Egress egress.Policy

	// Shim starts the program that holds an engine (see package shim), such as lotabots engine-shim. Engines
	// that run as processes need it.
	Shim   []string
	Node   string        // this node's id
	Boot   uint64        // tells this process from the node's earlier ones, which had lower ones
	Linger time.Duration // how long an engine waits for the next process of the node; 0: it ends with this one

	// User is whom engines run as; nil: whoever runs the node. RunDir must let its group pass, and account.May.
	User *account.Account

	RunDir string        // of logs and of what engines need while they run; must exist, nobody else's
	Grace  time.Duration // how long a stopping engine may finish what it does; 0: 10 s
	Log    *slog.Logger  // nil: none
}

const defaultGrace = 10 * time.Second

// Presets opens engines. Any goroutine may use it.
type Presets struct {
	config   Config
	external atomic.Pointer[[]string] // Config.ExternalURLs, which may change
	rooms    sync.Mutex               // held while RunDir is tidied and a directory in it is taken
	versions versions                 // that programs have told while they ran
	leaving  atomic.Bool              // engines are left to the next process of the node
	endings  sync.WaitGroup           // of engines that were disowned
	left     struct {                 // by the process before, not taken over yet
		sync.Mutex
		engines map[spec.InstanceID]*found
	}
}

// New returns the presets of c. It touches nothing.
func New(c Config) *Presets {
	if c.Grace <= 0 {
		c.Grace = defaultGrace
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Node == "" {
		c.Node = "local"
	}
	p := &Presets{config: c}
	p.left.engines = map[spec.InstanceID]*found{}
	p.AllowExternal(c.ExternalURLs)
	return p
}

// AllowExternal changes Config.ExternalURLs for engines that are opened from now on.
func (p *Presets) AllowExternal(prefixes []string) {
	kept := slices.Clone(prefixes)
	p.external.Store(&kept)
}

// current is the configuration as it is now.
func (p *Presets) current() Config {
	c := p.config
	if urls := p.external.Load(); urls != nil { // else p was made by new
		c.ExternalURLs = *urls
	}
	return c
}

// Names lists the presets, whether this node can run them or not: those that every node knows, in a
// fixed order, then the node's own.
func (p *Presets) Names() []string {
	names := slices.Clone(custom.BuiltIn)
	for _, preset := range p.config.Presets {
		names = append(names, preset.Name)
	}
	return names
}

// Check tells why s cannot run here: CodeEngineUnknown, CodeUnsupported for an option,
// CodeInvalidRequest for a value, CodeEngineUnavailable for what this machine lacks. What only a start
// can tell, such as a damaged model, it does not find.
func (p *Presets) Check(s Spec) error {
	_, err := p.check(s)
	return err
}

// Open returns the engine of s, not started. It fails as Check does, and starts nothing.
func (p *Presets) Open(s Spec) (Engine, error) {
	o, err := p.check(s)
	if err != nil {
		return nil, err
	}
	if s.Preset == External {
		return newExternal(s, o, p.current())
	}
	if preset, ok := p.named(s.Preset); ok {
		d, err := p.openNamed(preset, s, o)
		return p.local(s, d, err)
	}
	d, err := drivers[s.Preset](s, o, p.config)
	return p.local(s, d, err)
}

// drivers make those of the presets that run as processes here.
var drivers = map[string]func(Spec, options, Config) (driver, error){
	Embedded: newEmbedded, Ollama: newOllama, LlamaServer: newLlamaServer, VLLM: newVLLM, SGLang: newSGLang, Triton: newTriton,
}

func (p *Presets) local(s Spec, d driver, err error) (Engine, error) {
	if err != nil {
		return nil, err
	}
	return &local{presets: p, spec: s, driver: d, done: make(chan struct{})}, nil
}

// Bounds of what a deployment may ask for, where the engine has none.
const (
	maxContext = 4 << 20
	maxSlots   = 256 // llama.cpp's bound on sequences
)

// CheckDeployment tells what no node could run of a deployment: an unknown preset
// or option, a value out of its bounds. What one node has and another has not, it
// does not ask; so of presets that are some node's own it knows the form alone.
// Its errors are Check's.
func CheckDeployment(preset string, given map[string]string, context, slots uint32) error {
	o, err := checkOptions(preset, given, context, slots)
	if err == nil && preset == External {
		_, err = urlOf(o)
	}
	return err
}

func checkOptions(preset string, given map[string]string, context, slots uint32) (options, error) {
	known, builtIn := optionsOf[preset]
	read := plausible
	if builtIn {
		read = known.read
	}
	given, err := everyPresets.take(given)
	if err != nil {
		return nil, err
	}
	o, err := read(preset, given)
	switch {
	case err != nil:
		return nil, err
	case context > maxContext:
		return nil, invalid("context", fmt.Sprintf("context is %d; it must be at most %d", context, maxContext))
	case preset == Triton && o["weights"] == "":
		return nil, needsWeights()
	case slots > maxSlots && preset != External:
		return nil, invalid("slots", fmt.Sprintf("slots is %d; it must be at most %d", slots, maxSlots))
	}
	return o, nil
}

// check returns the checked options of s.
func (p *Presets) check(s Spec) (options, error) {
	o, err := checkOptions(s.Preset, s.Options, s.Context, s.Slots)
	if err == nil && len(s.Adapters) > 0 {
		err = CheckAdapters(s.Preset, s.Options)
	}
	switch {
	case err != nil:
		return nil, err
	case s.Preset == External:
		return o, p.checkURL(o)
	case s.Preset != Ollama && s.ModelName != "" && (!plainBytes(s.ModelName, "._:-") || !plainBytes(s.ModelName[:1], "")):
		return nil, invalid("name", fmt.Sprintf("the deployment's name is %.60q; an engine's argument has letters, digits, '.', '_', ':' and '-', the first a letter or digit", s.ModelName))
	case drivers[s.Preset] == nil:
		preset, ok := p.named(s.Preset)
		if !ok {
			return nil, &spec.Error{Code: spec.CodeEngineUnavailable, Param: "engine",
				Message: fmt.Sprintf("this node has no engine preset %q; it has %s", s.Preset, strings.Join(p.Names(), ", ")),
				Hint:    "Describe it in the node's engines.presets, or use another"}
		}
		return o, p.checkNamed(preset, s, o)
	case s.Model != "" && o["weights"] != "":
		return nil, invalid("model", "there is the option weights as well: give one of them")
	case s.Model == "" && o["weights"] == "":
		return nil, invalid("model", "the preset "+s.Preset+" needs a model")
	}
	if o["weights"] != "" {
		if _, err := p.config.weights(s, o); err != nil {
			return nil, err
		}
	}
	return o, p.available(s.Preset)
}

func (p *Presets) available(preset string) (err error) {
	switch preset {
	case Embedded:
		_, _, err = p.config.embedded()
	case Ollama:
		_, err = p.config.ollama()
	case LlamaServer:
		_, err = p.config.llamaServer()
	case VLLM:
		_, err = p.config.vllm()
	case SGLang:
		_, err = p.config.sglang()
	case Triton:
		_, err = p.config.triton()
	}
	return err
}

func invalid(param, message string) error {
	return &spec.Error{Code: spec.CodeInvalidRequest, Param: param, Message: message}
}
