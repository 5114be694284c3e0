package openai

import (
	"cmp"
	"math"
	"slices"
)

// A held field is one of a body with its rule.
type held struct {
	name string
	rule *rule
}

// rules are those of each endpoint's fields that routing has no need of.
var rules = func() (all [endpointCount]namedRules) {
	set := func(e Endpoint, lists ...map[string]*rule) { all[e] = namedOf(lists...) }
	for _, e := range []Endpoint{Chat, Messages, Responses, CountTokens} {
		set(e, ofSampling, ofConversations)
	}
	set(Completions, ofSampling, ofCompletions)
	set(Embeddings, ofEmbeddings)
	set(Rerank, ofRanks)
	set(Speech, ofSpeech)
	set(Images, ofImages)
	return all
}()

// namedRules are found by name: they lie by its length, at which there are few.
type namedRules [][]held

// of is the rule of that name; nil: it has none.
func (n namedRules) of(name []byte) *held {
	if len(name) >= len(n) {
		return nil
	}
	alike := n[len(name)]
	for i := range alike {
		if alike[i].name[0] == name[0] && alike[i].name == string(name) {
			return &alike[i]
		}
	}
	return nil
}

// namedOf gives each rule the name that it is found by. What is in a later list goes before an earlier one's.
func namedOf(lists ...map[string]*rule) (all namedRules) {
	for _, list := range lists {
		for name, r := range list {
			if old := all.of([]byte(name)); old != nil {
				old.rule = r
				continue
			}
			for len(all) <= len(name) {
				all = append(all, nil)
			}
			all[len(name)] = append(all[len(name)], held{name, r})
		}
	}
	for _, alike := range all {
		slices.SortFunc(alike, func(a, b held) int { return cmp.Compare(a.name, b.name) })
	}
	return all
}

// Rules that several fields have.
var (
	isText     = &rule{is: aString}
	isName     = &rule{is: aString, filled: true}
	isFlag     = &rule{is: aBool}
	isNumber   = &rule{is: aNumber}
	isWhole    = &rule{is: aNumber, whole: true}
	isPositive = &rule{is: aNumber, whole: true, low: 1, high: math.MaxInt32}
	isNatural  = &rule{is: aNumber, whole: true, low: 0, high: math.MaxInt32}
	isObject   = &rule{is: anObject}
	areTexts   = &rule{is: anArray, each: isText}
	isPenalty  = &rule{is: aNumber, low: -2, high: 2}
)

var ofSampling = map[string]*rule{
	"temperature":         {is: aNumber, low: 0, high: 2},
	"top_p":               {is: aNumber, low: 0, high: 1},
	"presence_penalty":    isPenalty,
	"frequency_penalty":   isPenalty,
	"repetition_penalty":  isNumber,
	"top_k":               isWhole,
	"min_p":               isNumber,
	"seed":                isWhole,
	"stop":                {is: aString | anArray, each: isText},
	"logit_bias":          {is: anObject | anArray, every: &rule{is: aNumber | aBool}}, // llama.cpp's has arrays, and false
	"user":                isText,
	"cache_salt":          isText,
	"store":               isFlag,
	"metadata":            isObject,
	"service_tier":        isText,
	"response_format":     {is: anObject, fields: []named{{"type", isName, false}}, also: ifSchema},
	"parallel_tool_calls": isFlag,
}

var ofConversations = map[string]*rule{
	"logprobs":         isFlag,
	"top_logprobs":     {is: aNumber, whole: true, low: -1, high: math.MaxInt32}, // -1: all, vLLM's; how many there may be its operator says
	"tools":            {is: anArray, each: &rule{is: anObject, fields: []named{{"type", isName, false}}, also: ifFunction}},
	"tool_choice":      {is: aString | anObject, words: []string{"none", "auto", "required", "any"}, fields: []named{{"type", isName, false}}, also: ifNamed},
	"functions":        {is: anArray, each: isFunction},
	"function_call":    {is: aString | anObject, fields: []named{{"name", isName, true}}},
	"reasoning_effort": isName,
	"verbosity":        isName,
	"modalities":       areTexts,
	"audio":            isObject,
	"prediction":       isObject,
}

var ofCompletions = map[string]*rule{
	"logprobs": {is: aNumber | aBool, whole: true, low: -1, high: math.MaxInt32},
	"best_of":  isNatural,
	"echo":     isFlag,
	"suffix":   isText,
}

var ofEmbeddings = map[string]*rule{
	"encoding_format": {is: aString, words: []string{"float", "base64", "bytes", "bytes_only"}}, // the latter are vLLM's
	"dimensions":      isPositive,
	"user":            isText,
}

var ofRanks = map[string]*rule{
	"max_tokens_per_doc": isPositive,
	"max_chunks_per_doc": isPositive,
	"rank_fields":        areTexts,
	"user":               isText,
}

var ofSpeech = map[string]*rule{
	"voice":           {is: aString | anObject},
	"instructions":    isText,
	"response_format": isName,
	"stream_format":   isName,
	"speed":           {is: aNumber, low: 0.25, high: 4},
}

var ofImages = map[string]*rule{
	"size":               isName,
	"quality":            isName,
	"style":              isName,
	"background":         isName,
	"moderation":         isName,
	"response_format":    isName,
	"output_format":      isName,
	"output_compression": {is: aNumber, whole: true, low: 0, high: 100},
	"partial_images":     isNatural,
	"user":               isText,
}

// ofMessage are the fields of a message beside its role and content.
var ofMessage = namedOf(map[string]*rule{
	"name":         isText,
	"refusal":      isText,
	"tool_call_id": isText,
	"tool_calls": {is: anArray, each: &rule{is: anObject, fields: []named{{"id", isText, false}, {"type", isName, false},
		{"function", &rule{is: anObject, fields: []named{{"name", isName, true}, {"arguments", &rule{is: aString | anObject}, false}}}, false}}}},
	"function_call": {is: anObject, fields: []named{{"name", isName, true}, {"arguments", &rule{is: aString | anObject}, false}}},
})

var (
	isFunction = &rule{is: anObject, fields: []named{{"name", isName, true}, {"description", isText, false}, {"parameters", isObject, false}, {"strict", isFlag, false}}}
	isChosen   = &rule{is: anObject, fields: []named{{"name", isName, true}}}
	isSchema   = &rule{is: anObject, fields: []named{{"name", isText, false}, {"description", isText, false}, {"schema", &rule{is: anObject | aBool}, false}, {"strict", isFlag, false}}}
)

// ofPart are the parts of a message's content, by their type. Others are the engine's.
var ofPart = map[string]*rule{
	"text":        {is: anObject, fields: []named{{"text", isText, true}}},
	"image_url":   {is: anObject, fields: []named{{"image_url", &rule{is: aString | anObject, fields: []named{{"url", isName, true}}}, false}}}, // null with a uuid: vLLM has it already
	"input_audio": {is: anObject, fields: []named{{"input_audio", &rule{is: anObject, fields: []named{{"data", isName, true}, {"format", isText, false}}}, false}}},
}

var anyPart = &rule{is: anObject, fields: []named{{"type", isName, false}}}
