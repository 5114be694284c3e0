package main

import (
	"strings"
	"testing"
)

// TestFiguresComeOut runs a small measurement: every part has figures, and what
// does not depend on the machine's speed meets its goal.
func TestFiguresComeOut(t *testing.T) {
	keys, err := measureKeys(2000, 1)
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := measureDecisions(1)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := measureTokens(1)
	if err != nil {
		t.Fatal(err)
	}
	allocations := 0
	for _, f := range append(append(keys, decisions...), tokens...) {
		if strings.HasSuffix(f.name, "_allocations") {
			if allocations++; !f.met {
				t.Error(f)
			}
		} else if f.value <= 0 && !strings.HasPrefix(f.name, "key_check_without_hash") {
			t.Error(f)
		}
	}
	if allocations != 3 {
		t.Errorf("%d figures of allocations", allocations)
	}
}

func TestFigure(t *testing.T) {
	for want, f := range map[string]figure{
		"figure: a 1.5 ns/op":                       {"a", 1.5, "ns/op", "", true},
		"figure: a 1.0 x goal >= 1":                 {"a", 1, "x", ">= 1", true},
		"figure: a 400.0 ns/op goal < 300 (missed)": {"a", 400, "ns/op", "< 300", false},
	} {
		if f.String() != want {
			t.Errorf("%q, want %q", f, want)
		}
	}
}
