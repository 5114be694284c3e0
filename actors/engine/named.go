package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/lotabots/lotabots/actors/engine/custom"
	"github.com/lotabots/lotabots/cluster/spec"
)

// named drives a program that the node's operator has described under a name of its own.
type named struct {
	preset custom.Preset
	spec   Spec
	given  options
	path   string // of the program
	model  string // empty: the command has no place for one
	ready  atomic.Bool
}

const defaultHealth = "/health"

// named finds the preset that the node's file has under that name.
func (p *Presets) named(name string) (custom.Preset, bool) {
	for _, preset := range p.config.Presets {
		if preset.Name == name {
			return preset, true
		}
	}
	return custom.Preset{}, false
}

// plausible checks what can be known of a preset that only some nodes may have.
func plausible(preset string, given map[string]string) (options, error) {
	if text := custom.NameError(preset); text != "" {
		return nil, &spec.Error{Code: spec.CodeEngineUnknown, Param: "engine",
			Message: fmt.Sprintf("there is no engine preset %.60q; there are %s, and those of the nodes' own, whose name %s", preset, strings.Join(custom.BuiltIn, ", "), text)}
	}
	out := options{}
	for name, value := range given {
		if name == "" || len(name) > 40 || len(value) > 256 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, invalid("options."+name, fmt.Sprintf("the option %.60q must have a name of at most 40 bytes and a value of at most 256, without control characters", name))
		}
		out[name] = value
	}
	return out, nil
}

// checkNamed checks s against a preset of the node's own.
func (p *Presets) checkNamed(preset custom.Preset, s Spec, o options) error {
	if _, fault := preset.Flags(o); fault != nil {
		if fault.Unknown {
			return &spec.Error{Code: spec.CodeUnsupported, Param: "options." + fault.Option,
				Message: fmt.Sprintf("the preset %s has no option %.60q on this node; %s", preset.Name, fault.Option, fault.Reason)}
		}
		return invalid("options."+fault.Option, fmt.Sprintf("the option %s is %.60q; it %s", fault.Option, o[fault.Option], fault.Reason))
	}
	weights := o[custom.Weights]
	if weights != "" {
		if wrong := entry(weights); wrong != "" {
			return invalid("options.weights", fmt.Sprintf("the option weights is %.60q; it %s", weights, wrong))
		}
	}
	takes := preset.Uses("{model}")
	switch {
	case !takes && s.Model != "":
		return invalid("model", "the preset "+preset.Name+" has its model already: leave it out")
	case takes && (s.Model == "") == (weights == ""):
		return invalid("model", "the preset "+preset.Name+" needs a model, or the option weights in place of one")
	}
	_, err := p.program(preset)
	if err == nil && weights != "" {
		_, err = p.config.weights(s, o)
	}
	return err
}

func (*Presets) program(preset custom.Preset) (string, error) {
	name := preset.Command[0]
	const hint = "Install the program, or correct the command in the node's engines.presets"
	if strings.ContainsRune(name, filepath.Separator) {
		return program(name, name, hint)
	}
	return program("", name, hint)
}

func (p *Presets) openNamed(preset custom.Preset, s Spec, o options) (driver, error) {
	path, err := p.program(preset)
	if err != nil {
		return nil, err
	}
	e := &named{preset: preset, spec: s.withDefaults(), given: o, path: path}
	if preset.Uses("{model}") {
		if e.model, err = p.config.weights(s, o); err == nil {
			err = safeWeights(e.model, guard{})
		}
	}
	return e, err
}

func (e *named) again(w *web, _ *room) { w.foreign, w.fresh = true, e.preset.Load == LlamaServer }

func (e *named) launch(r *room) (command, *web, error) {
	v := custom.Values{Model: e.model, Name: e.spec.ModelName, Key: rand.Text(), Context: e.spec.Context, Slots: e.spec.Slots}
	for _, d := range e.spec.gpus() {
		v.GPUs = append(v.GPUs, d.UUID)
	}
	var w *web
	if e.preset.Uses("{socket}") {
		var err error
		v.Socket = socketName // the program's directory is the room
		if w, err = socketWeb(r, socketName); err != nil {
			return command{}, nil, err
		}
	} else {
		address, err := freeAddress()
		if err != nil {
			return command{}, nil, err
		}
		if _, v.Port, err = net.SplitHostPort(address); err != nil {
			return command{}, nil, err
		}
		w = newWeb(&url.URL{Scheme: "http", Host: address}, nil)
	}
	e.again(w, r)
	if e.preset.Uses("{key}") {
		w.always = http.Header{"Authorization": {"Bearer " + v.Key}}
	}
	args, env, fault := e.preset.Line(v, e.given)
	if fault != nil {
		return command{}, nil, invalid("options."+fault.Option, fault.Reason)
	}
	env = append(append(visible(e.spec.gpus()...), "HOME="+r.home), env...)
	return command{path: e.path, args: args, env: env, leash: true}, w, nil
}

// up asks whether it can serve until it could once, and from then on whether it is well.
func (e *named) up(ctx context.Context, w *web) error {
	health := e.preset.Health
	if health == "" {
		health = defaultHealth
	}
	if !e.ready.Load() && e.preset.Ready != "" {
		if _, err := w.ask(ctx, http.MethodGet, e.preset.Ready, nil); err != nil {
			return err
		}
	}
	_, err := w.ask(ctx, http.MethodGet, health, nil)
	if err == nil {
		e.ready.Store(true)
	}
	return err
}

func (e *named) settle(context.Context, *web, *room) (facts, error) {
	return facts{slots: e.spec.Slots, context: e.spec.Context}, nil
}

func (e *named) load(ctx context.Context, w *web) (Load, error) {
	if e.preset.Load == "" {
		return Load{}, nil
	}
	return gaugedLoad(ctx, w, e.preset.Load)
}

func (*named) body(body []byte) ([]byte, error) { return body, nil }
