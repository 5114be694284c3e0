package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/actors/engine/custom"
	"github.com/lotabots/lotabots/cluster/spec"
)

// options are a deployment's, each of them known and checked.
type options map[string]string

// A kind of value tells what is wrong with a text, or "".
type kind func(text string) string

// A table has the options that a preset knows. None of them names a program, a file or an argument.
type table map[string]kind

var optionsOf = map[string]table{
	Embedded: vectors(table{
		"threads":       whole(1, 1024),
		"embeddings":    among("auto", "on", "off"),
		"pooling":       among("mean", "cls", "last", "rank"),
		"chat-template": plainWord,
		"cache-ram":     whole(1, 1<<20),
		sharePrefixes:   among("on", "off"),
		MaxAdapters:     whole(1, 64),
	}),
	LlamaServer: vectors(table{
		"threads":     whole(1, 1024),
		"gpu-layers":  whole(0, 10_000),
		"embeddings":  among("on", "off"),
		"pooling":     among("none", "mean", "cls", "last", "rank"),
		sharePrefixes: among("on", "off"),
	}),
	Ollama: vectors(table{
		"threads":     whole(1, 1024),
		"gpu-layers":  whole(0, 10_000),
		"template":    text(16 << 10),
		sharePrefixes: among("on", "off"),
	}),
	VLLM: vectors(table{
		"weights":          entry,
		"task":             among("generate", "embed", "rerank"),
		"dtype":            among("auto", "float16", "bfloat16", "float32"),
		"quantization":     among("awq", "awq_marlin", "bitsandbytes", "compressed-tensors", "fp8", "gguf", "gptq", "gptq_marlin", "modelopt", "mxfp4"),
		"kv-cache-dtype":   among("auto", "fp8", "fp8_e4m3", "fp8_e5m2"),
		"prefix-caching":   among("on", "off"),
		sharePrefixes:      among("on", "off"),
		"tool-parser":      plainWord,
		"reasoning-parser": plainWord,
		"lora":             among("on", "off"),
		MaxAdapters:        whole(1, 64),
		"sleep":            among("on", "off"),
		nativeAPIs:         among("on", "off"),
	}),
	SGLang: vectors(table{
		"weights":          entry,
		"task":             among("generate", "embed", "rerank"),
		"dtype":            among("auto", "float16", "bfloat16", "float32"),
		"quantization":     among("awq", "awq_marlin", "bitsandbytes", "compressed-tensors", "fp8", "gguf", "gptq", "gptq_marlin", "modelopt", "mxfp4"),
		"kv-cache-dtype":   among("auto", "fp8_e4m3", "fp8_e5m2"),
		"prefix-caching":   among("on", "off"),
		sharePrefixes:      among("on", "off"),
		"tool-parser":      plainWord,
		"reasoning-parser": plainWord,
		"lora":             among("on", "off"),
		MaxAdapters:        whole(1, 64),
		"sleep":            among("on", "off"),
		nativeAPIs:         among("on", "off"),
	}),
	Triton: {
		"weights": entry,
	},
	External: vectors(table{
		"url":         text(2 << 10), // checkURL checks it
		"model":       text(256),
		"health":      path,
		"metrics":     among(custom.Loads...),
		streamUsage:   among("on", "off"),
		nativeAPIs:    among("on", "off"),
		canOption:     abilityList,
		sharePrefixes: among("on", "off"),
	}),
}

// everyPresets are the options that a preset has beside its own.
var everyPresets = table{spec.AdaptiveSlots: among("on", "off")}

// take checks those of given that the table has, and returns the others.
func (t table) take(given map[string]string) (others map[string]string, err error) {
	others = maps.Clone(given)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		text, there := given[name]
		if !there {
			continue
		}
		if wrong := t[name](text); wrong != "" {
			return nil, invalid("options."+name, fmt.Sprintf("the option %s is %.60q; it %s", name, text, wrong))
		}
		delete(others, name)
	}
	return others, nil
}

// Options of all presets that make vectors: how requests for them are put together.
const (
	Batching    = "batching"
	BatchInputs = "batch-inputs" // of one call
	BatchTokens = "batch-tokens" // of one call
	BatchCalls  = "batch-calls"  // at a time
	BatchWindow = "batch-window" // microseconds
)

// vectors adds them to what the preset knows beside.
func vectors(t table) table {
	t[Batching] = among("on", "off")
	t[BatchInputs], t[BatchTokens], t[BatchCalls] = whole(1, 2048), whole(1, 1<<20), whole(1, 64)
	t[BatchWindow] = whole(0, 1_000_000)
	return t
}

// read checks what was given.
func (t table) read(preset string, given map[string]string) (options, error) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		check, ok := t[name]
		if !ok {
			return nil, &spec.Error{
				Code: spec.CodeUnsupported, Param: "options." + name,
				Message: fmt.Sprintf("the preset %s has no option %.60q; it has %s", preset, name, strings.Join(slices.Sorted(maps.Keys(t)), ", ")),
			}
		}
		if wrong := check(given[name]); wrong != "" {
			return nil, invalid("options."+name, fmt.Sprintf("the option %s is %.60q; it %s", name, given[name], wrong))
		}
	}
	return maps.Clone(given), nil
}

func whole(low, high int) kind {
	return func(text string) string {
		if n, err := strconv.Atoi(text); err != nil || n < low || n > high || text[0] == '+' {
			return fmt.Sprintf("must be a whole number from %d to %d", low, high)
		}
		return ""
	}
}

func among(allowed ...string) kind {
	return func(text string) string {
		if !slices.Contains(allowed, text) {
			return "must be one of " + strings.Join(allowed, ", ")
		}
		return ""
	}
}

func text(most int) kind {
	return func(text string) string {
		if text == "" || len(text) > most || strings.IndexByte(text, 0) >= 0 {
			return fmt.Sprintf("must have 1 to %d bytes, none of them NUL", most)
		}
		return ""
	}
}

// abilityList takes names of what an engine can, with commas between.
func abilityList(text string) string {
	for name := range strings.SplitSeq(text, ",") {
		if tellable&spec.AbilityOf(strings.TrimSpace(name)) == 0 {
			return "must be names with commas between, of " + strings.Join(tellable.Names(), ", ")
		}
	}
	return ""
}

// plainWord takes the names of what an engine has built in: none of them is a path, a flag or code.
func plainWord(text string) string {
	if text == "" || len(text) > 40 || !plainBytes(text, "-_") || text[0] == '-' {
		return "must be 1 to 40 letters, digits, '-' and '_', not beginning with '-'"
	}
	return ""
}

// entry takes the name of a directory's entry, which cannot lead out of it.
func entry(text string) string {
	if text == "" || len(text) > 128 || !plainBytes(text, "-_.") || text[0] == '-' || text[0] == '.' {
		return "must be 1 to 128 letters, digits, '-', '_' and '.', beginning with none of '-' and '.'"
	}
	return ""
}

// plainBytes tells whether text has nothing but ASCII letters, digits and those of more.
func plainBytes(text, more string) bool {
	for _, c := range []byte(text) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(more, c) >= 0) {
			return false
		}
	}
	return true
}

func path(text string) string {
	if !strings.HasPrefix(text, "/") || !plainPath(text) || len(text) > 256 {
		return "must be a plain path, beginning with '/'"
	}
	return ""
}

// number is the option's value; 0: not given.
func (o options) number(name string) int {
	n, _ := strconv.Atoi(o[name]) // checked
	return n
}
