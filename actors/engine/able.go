package engine

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Sleeper is what an Engine has that can give its device's memory back and take it again, faster
// than it starts. Asleep it serves nothing. Those that cannot answer with CodeUnsupported.
type Sleeper interface {
	Sleep(ctx context.Context) error
	Wake(ctx context.Context) error
}

// Able is what an Engine has that knows what it can with the model that it serves.
type Able interface{ Abilities() spec.Abilities }

// Abilities tells what is known of engines of that preset and options before they run. What depends on the
// model, such as whether it has a chat template, a running engine tells, if it can: Able.
func (p *Presets) Abilities(preset string, o map[string]string) spec.Abilities {
	own, ok := p.named(preset)
	if !ok {
		return abilities(preset, o)
	}
	var a spec.Abilities
	for _, name := range own.Capabilities {
		a.Can |= spec.AbilityOf(name)
	}
	return a
}

// Abilities implements Able.
func (l *local) Abilities() spec.Abilities {
	return l.facts().able.Over(l.presets.Abilities(l.spec.Preset, l.spec.Options))
}

// Sets of abilities that go together.
const (
	writes = spec.AbleChat | spec.AbleComplete
	shaped = spec.AbleSchema | spec.AbleLogprobs
	media  = spec.AbleTranscribe | spec.AbleSpeak | spec.AbleDraw
	vector = spec.AbleEmbed | spec.AbleRerank
)

// canOption is the option of external engines by which the deployment tells what they can, since nobody else knows;
// tellable is what may stand in it. What does not is left to the engine.
const (
	canOption = "capabilities"
	tellable  = spec.AbleServe | shaped | spec.AbleTools | spec.AbleImages | spec.AbleAudio | spec.AbleContinue | spec.AbleCount
)

// streamUsage is the option of external engines that says whether they know stream_options.
const streamUsage = "stream-usage"

// abilities is what a preset of every node's can. Endpoints that its program does not have, in any version
// that is known, it cannot.
func abilities(preset string, o map[string]string) (a spec.Abilities) {
	defer func() {
		if o[nativeAPIs] == "on" && a.Cannot&spec.AbleChat == 0 {
			a.Can |= native
		}
	}()
	switch preset {
	case Embedded:
		a.Can = writes | shaped | spec.AbleTools | spec.AbleContinue | spec.AbleAdapters | spec.AbleCount | spec.AbleUsage | spec.AbleTokens | spec.AbleRanks
		a.Cannot = media | spec.AbleKServe | spec.AbleImages | spec.AbleAudio | spec.AbleSleep
		switch {
		case o["embeddings"] == "off":
			a.Can, a.Cannot = a.Can&^spec.AbleRanks, a.Cannot|vector
		case o["pooling"] == "rank":
			a.Can, a.Cannot = a.Can|spec.AbleRerank, a.Cannot|spec.AbleEmbed
		default:
			a.Can |= spec.AbleEmbed
		}
	case Ollama:
		a.Can = writes | spec.AbleEmbed | spec.AbleTools | spec.AbleSchema | spec.AbleUsage
		a.Cannot = spec.AbleRerank | spec.AbleTranscribe | spec.AbleSpeak | spec.AbleKServe
	case LlamaServer:
		a.Cannot = media | spec.AbleKServe
		switch {
		case o["embeddings"] == "on" && o["pooling"] == "rank":
			a.Can, a.Cannot = spec.AbleRerank, a.Cannot|writes|spec.AbleEmbed
		case o["embeddings"] == "on":
			a.Can, a.Cannot = spec.AbleEmbed, a.Cannot|writes|spec.AbleRerank
		default:
			a.Can, a.Cannot = writes|shaped|spec.AbleTools|spec.AbleContinue|spec.AbleAdapters|spec.AbleCount|spec.AbleUsage, a.Cannot|vector
		}
	case VLLM, SGLang:
		a = batching(preset, o)
	case Triton:
		a.Can, a.Cannot = spec.AbleKServe, spec.AbleServe&^spec.AbleKServe
	case External: // what it is nobody knows, but hardly any still refuses to tell a stream's usage
		if o[streamUsage] != "off" {
			a.Can = spec.AbleUsage
		}
		for name := range strings.SplitSeq(o[canOption], ",") {
			a.Can |= tellable & spec.AbilityOf(strings.TrimSpace(name))
		}
	}
	return a
}

// batching is vLLM's and SGLang's. Both call a function that the request names without a parser of tools, and
// some models of theirs transcribe: neither is known here.
func batching(preset string, o map[string]string) (a spec.Abilities) {
	a.Cannot = spec.AbleKServe | spec.AbleDraw
	switch o["task"] {
	case "embed":
		a.Can, a.Cannot = spec.AbleEmbed, a.Cannot|writes|spec.AbleTranscribe|spec.AbleSpeak
	case "rerank":
		a.Can, a.Cannot = spec.AbleRerank, a.Cannot|writes|spec.AbleTranscribe|spec.AbleSpeak
	default:
		a.Can = writes | shaped | spec.AbleContinue | spec.AbleUsage
		if preset == VLLM {
			a.Can |= spec.AbleCount
		}
		if o["tool-parser"] != "" {
			a.Can |= spec.AbleTools
		}
		if o["lora"] == "on" {
			a.Can |= spec.AbleAdapters
		}
	}
	if o["sleep"] == "on" {
		a.Can |= spec.AbleSleep
	}
	return a
}

// Version is what the running program tells of itself; empty: nothing.
func (l *local) Version() string {
	if d, ok := l.driver.(interface{ version() string }); ok {
		return d.version()
	}
	return ""
}

// writing are the paths at which a text is asked for.
var writing = []string{"/v1/chat/completions", "/v1/completions", messagesPath, responsesPath}

// salted puts the head's CacheSalt into the body, over the client's own, for programs that look for it there.
func (l *local) salted(path string, head *Head, body []byte) ([]byte, error) {
	_, takes := l.driver.(interface{ saltsBody() })
	salt := head.CacheSalt
	if !takes || salt == "" || !slices.Contains(writing, path) {
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
