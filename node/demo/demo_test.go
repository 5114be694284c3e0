package demo

import (
	"bytes"
	"testing"
)

func TestModelIsGGUF(t *testing.T) {
	if !bytes.HasPrefix(Model, []byte("GGUF\x03\x00\x00\x00")) {
		t.Fatalf("the embedded model of %d bytes is no GGUF of version 3", len(Model))
	}
	// engines find the ChatML template by its markers, and the name by this field
	for _, want := range []string{"<|im_start|>", "<|im_end|>", "tokenizer.chat_template", ModelName} {
		if !bytes.Contains(Model, []byte(want)) {
			t.Errorf("the embedded model lacks %q", want)
		}
	}
}

func TestFactsAreWhole(t *testing.T) {
	if Question != "What is LotaBots?" {
		t.Errorf("the demonstration asks %q: the first of facts.json must be its question", Question)
	}
	seen := map[string]bool{}
	for _, f := range Facts {
		if f.Question == "" || f.Answer == "" || seen[f.Question] {
			t.Errorf("fact %+v is empty or asked twice", f)
		}
		seen[f.Question] = true
	}
}
