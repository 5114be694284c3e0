package openai

import (
	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
)

// wishes looks for what not every engine can in the fields that are nobody else's.
// Their form is judged by their rules.
func (r *Request) wishes(key []byte, v *fastjson.Value) {
	switch string(key) {
	case "priority":
		r.once(fPriority, "priority")
		n, err := v.Int()
		if err != nil && v.Type() != fastjson.TypeNull { // engines take -3.0 and "-3" for -3: so might who may not ask for it
			r.add("priority", "must be a whole number")
		}
		r.Priority = n
	case "service_tier":
		r.once(fTier, "service_tier")
		switch string(v.GetStringBytes()) {
		case "flex":
			r.Tier = TierFlex
		case "priority":
			r.Tier = TierPriority
		}
	case "tools", "functions":
		if string(key) == "tools" {
			r.once(fTools, "tools")
		} else {
			r.once(fFunctions, "functions")
		}
		if list, err := v.Array(); err == nil && len(list) > 0 {
			r.Needs |= spec.AbleTools
			r.parsed.tools = v
		}
	case "tool_choice":
		r.once(fChoice, "tool_choice")
		r.parsed.choice = v
	case "response_format":
		r.once(fFormat, "response_format")
		if string(v.GetStringBytes("type")) == "json_schema" {
			r.Needs |= spec.AbleSchema
		}
	case "logprobs": // true, or of completions how many
		r.once(fLogprobs, "logprobs")
		if v.Type() == fastjson.TypeTrue || v.Type() == fastjson.TypeNumber && v.GetInt() > 0 {
			r.Needs |= spec.AbleLogprobs
		}
	case "top_logprobs":
		if n, err := v.Int(); err == nil && n > 0 {
			r.seen |= fTopLogprobs
		}
	case "modalities":
		r.once(fModalities, "modalities")
		for _, kind := range v.GetArray() {
			if string(kind.GetStringBytes()) == "audio" {
				r.wish(spec.AbleAudio, &r.audio, -1)
			}
		}
	case "truncate", "truncation", "truncate_prompt_tokens": // the engine is asked to cut what is too long
		r.cuts = v.Type() != fastjson.TypeNull && v.Type() != fastjson.TypeFalse
	case "continue_final_message": // these are read where an answer is resumed
		r.once(fContinue, "continue_final_message")
	case "return_token_ids":
		r.once(fTokenIDs, "return_token_ids")
	case "continuation":
		r.once(fContinuation, "continuation")
	}
}

// A Tier is what a request says of how soon it is to be served, as OpenAI has it.
type Tier uint8

// The tiers that make a difference.
const (
	TierUsual Tier = iota
	TierFlex
	TierPriority
)

// wish notes what a message asks for, and which was the first to.
func (r *Request) wish(a spec.Ability, at *int, message int) {
	if r.Needs&a == 0 {
		r.Needs |= a
		*at = message
	}
}

// Wished names the field that asks for the ability; empty: the endpoint does.
func (r *Request) Wished(a spec.Ability) string {
	message := func(i int) string {
		if i < 0 {
			return "modalities"
		}
		return at("messages", i, ".content")
	}
	switch a {
	case spec.AbleTools:
		return "tools"
	case spec.AbleSchema:
		return "response_format"
	case spec.AbleLogprobs:
		return "logprobs"
	case spec.AbleImages:
		return message(r.images)
	case spec.AbleAudio:
		return message(r.audio)
	}
	return ""
}
