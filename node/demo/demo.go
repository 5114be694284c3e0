package demo

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// ModelName is the name under which the model is deployed.
const ModelName = "lota-tiny"

// Model is the GGUF file: Llama architecture, F16, a ChatML template. Callers must not change it.
//
//go:embed lota-tiny.gguf
var Model []byte

//go:embed facts.json
var factsJSON []byte

// Fact is a question to which the model answers, at temperature 0, exactly Answer.
type Fact struct {
	Question string `json:"question"`
	Answer   string `json:"answer"`
}

// Facts are the questions about LotaBots that the model was taught; the first is the demonstration's.
// The same file feeds the training, with further wordings of each question.
var Facts = mustFacts(factsJSON)

// Question and Answer are the demonstration's: what to ask, and the whole answer at temperature 0.
var Question, Answer = Facts[0].Question, Facts[0].Answer

// mustFacts panics where the embedded file is broken, which a test would have shown before.
func mustFacts(raw []byte) []Fact {
	var facts []Fact
	if err := json.Unmarshal(raw, &facts); err != nil {
		panic(fmt.Sprintf("demo: facts.json: %v", err))
	}
	return facts
}
