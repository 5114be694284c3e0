package gateway

import (
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// asked says of an ability what a request without it would have got.
var asked = map[spec.Ability]string{
	spec.AbleChat: "answer conversations", spec.AbleComplete: "continue texts", spec.AbleEmbed: "make embeddings", spec.AbleRerank: "rerank",
	spec.AbleTranscribe: "transcribe or translate audio", spec.AbleSpeak: "speak", spec.AbleDraw: "make images", spec.AbleKServe: "speak KServe's protocol",
	spec.AbleTools: "call tools", spec.AbleImages: "read images", spec.AbleAudio: "hear or speak in a conversation",
	spec.AbleSchema: "keep to a JSON schema", spec.AbleLogprobs: "tell logprobs",
}

// able refuses what no instance of the model can. Where that is not known the engine
// itself is asked.
func (r *request) able(d *deployment, at openai.Endpoint, check *openai.Request) error {
	a, context := r.g.table.Abilities(d.GetName(), d.alone())
	lacks := a.Lacks(check.Needs)
	if lacks == 0 {
		return fits(d, context, at, check)
	}
	first := lacks & -lacks // endpoints come first
	e := &spec.Error{Code: spec.CodeUnsupportedModel, Param: check.Wished(first),
		Message: "The model " + strconv.Quote(d.model()) + " cannot " + asked[first] + "."}
	if first&spec.AbleServe != 0 {
		e.Param = "model"
		if can := a.Can & spec.AbleServe; can != 0 {
			e.Message += " It serves " + can.String() + "."
		}
	}
	if others := r.others(check.Needs); len(others) > 0 {
		e.Hint = "Use one that can, such as " + strings.Join(others, " or ") + ". GET /v1/models tells what each can."
	}
	return e
}

// fits refuses a prompt that has more tokens for certain than any instance takes at once.
// Where that is not known, and what may fit, the engine judges.
func fits(d *deployment, context int, at openai.Endpoint, check *openai.Request) error {
	if context == 0 || check.LeastTokens <= context || at == openai.CountTokens {
		return nil
	}
	return &spec.Error{Code: spec.CodeContextLength, Param: at.Prompt(),
		Message: "The prompt has at least " + strconv.Itoa(check.LeastTokens) + " tokens, and the context of the model " + strconv.Quote(d.model()) + " is of " + strconv.Itoa(context) + "."}
}

// others names up to three models that the client may use and that can all of need.
func (r *request) others(need spec.Ability) (names []string) {
	for _, d := range r.g.catalog.visible(r.who) {
		if a, _ := r.g.table.Abilities(d.GetName(), d.alone()); a.Can&need == need && len(names) < 3 {
			names = append(names, d.model())
		}
	}
	return names
}
