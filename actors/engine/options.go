package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// options are a deployment's, each of them known and checked.
type options map[string]string

// A kind of value tells what is wrong with a text, or "".
type kind func(text string) string

// A table has the options that a preset knows. None of them names a program, a file or an argument.
type table map[string]kind

var optionsOf = map[string]table{
	Embedded: {
		"threads":    whole(1, 1024),
		"embeddings": among("auto", "on", "off"),
	},
	LlamaServer: {
		"threads":    whole(1, 1024),
		"gpu-layers": whole(0, 10_000),
		"embeddings": among("on", "off"),
		"pooling":    among("none", "mean", "cls", "last", "rank"),
	},
	Ollama: {
		"threads":    whole(1, 1024),
		"gpu-layers": whole(0, 10_000),
		"template":   text(16 << 10),
	},
	External: {
		"url":     text(2 << 10), // checkURL checks it
		"model":   text(256),
		"health":  path,
		"metrics": among(slices.Sorted(maps.Keys(gauges))...),
	},
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
