package engine

import (
	"context"
	"net/http"
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
)

// What engines can, as presets tell and deployments show.
const (
	CanChat         = "chat"
	CanComplete     = "completions"
	CanEmbed        = "embeddings"
	CanRerank       = "rerank"
	CanTools        = "tools"
	CanContinue     = "continuation" // goes on with an answer that was begun
	CanSleep        = "sleep"        // gives its memory back without ending: Sleeper
	CanLoadAdapters = "lora"         // Adapters
)

// Sleeper is what an Engine has that can give its device's memory back and take it again, faster
// than it starts. Asleep it serves nothing. Those that cannot answer with CodeUnsupported.
type Sleeper interface {
	Sleep(ctx context.Context) error
	Wake(ctx context.Context) error
}

// Capabilities tells what an engine of that preset and options can, sorted; nil: that is not known. What
// depends on the model alone, such as whether it has a chat template, it does not tell.
func (p *Presets) Capabilities(preset string, o map[string]string) []string {
	out := abilities(preset, o)
	if own, ok := p.named(preset); ok {
		out = slices.Clone(own.Capabilities)
	}
	slices.Sort(out)
	return out
}

func abilities(preset string, o map[string]string) (out []string) {
	text := []string{CanChat, CanComplete}
	switch preset {
	case Embedded:
		out = append(text, CanContinue, CanLoadAdapters)
		switch {
		case o["pooling"] == "rank":
			out = append(out, CanRerank)
		case o["embeddings"] != "off":
			out = append(out, CanEmbed)
		}
	case Ollama:
		out = append(text, CanEmbed, CanTools)
	case LlamaServer:
		switch {
		case o["embeddings"] == "on" && o["pooling"] == "rank":
			out = []string{CanRerank}
		case o["embeddings"] == "on":
			out = []string{CanEmbed}
		default:
			out = append(text, CanTools, CanContinue, CanLoadAdapters)
		}
	case VLLM, SGLang:
		switch o["task"] {
		case "embed":
			out = []string{CanEmbed}
		case "rerank":
			out = []string{CanRerank}
		default:
			out = append(text, CanContinue)
			if o["tool-parser"] != "" {
				out = append(out, CanTools)
			}
			if o["lora"] == "on" {
				out = append(out, CanLoadAdapters)
			}
		}
		if o["sleep"] == "on" {
			out = append(out, CanSleep)
		}
	}
	return out
}

// Version is what the running program tells of itself; empty: nothing.
func (l *local) Version() string {
	if d, ok := l.driver.(interface{ version() string }); ok {
		return d.version()
	}
	return ""
}

// salted puts CacheSalt into the body, over the client's own, for programs that look for it there.
func (l *local) salted(path string, header http.Header, body []byte) ([]byte, error) {
	_, takes := l.driver.(interface{ saltsBody() })
	salt := header.Get(CacheSalt)
	if !takes || salt == "" || path != "/v1/chat/completions" && path != "/v1/completions" {
		return body, nil
	}
	return withText(body, "cache_salt", salt)
}

// an asker has paths for what a driver's program can beside serving; empty: it cannot.
type asker interface {
	extras() extras
}

type extras struct{ load, unload, sleep, wake string }

func (l *local) extra(ctx context.Context, what string, path func(extras) string, question any) error {
	d, ok := l.driver.(asker)
	if !ok || path(d.extras()) == "" {
		return spec.Errorf(spec.CodeUnsupported, "the engine %s cannot %s as it was deployed", l.spec.Preset, what)
	}
	w, err := l.running()
	if err != nil {
		return err
	}
	return w.call(ctx, http.MethodPost, path(d.extras()), question, nil)
}

// Sleep implements Sleeper.
func (l *local) Sleep(ctx context.Context) error {
	return l.extra(ctx, "sleep", func(e extras) string { return e.sleep }, struct{}{})
}

// Wake implements Sleeper.
func (l *local) Wake(ctx context.Context) error {
	return l.extra(ctx, "wake", func(e extras) string { return e.wake }, struct{}{})
}
