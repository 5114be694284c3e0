package spec

import "strings"

// An Ability is something that an engine with its model can do; several in one are a
// set. Bits travel in load digests, so none changes its meaning.
type Ability uint32

// The abilities. The first ones are endpoints; then comes what requests to them may ask
// for, and then what the cluster itself makes use of.
const (
	AbleChat Ability = 1 << iota
	AbleComplete
	AbleEmbed
	AbleRerank
	AbleTranscribe // and translate
	AbleSpeak
	AbleDraw   // makes images
	AbleKServe // KServe's inference protocol, version 2
	AbleTools
	AbleImages // in prompts
	AbleAudio  // in prompts and in answers
	AbleSchema // answers in JSON by a schema
	AbleLogprobs
	AbleContinue
	AbleSleep
	AbleAdapters
	AbleCount     // tells how many tokens a conversation has
	AbleUsage     // tells the usage of streams, where asked for by include_usage
	AbleTokens    // tells token ids, and goes on behind them: continuation as the embedded engine has it
	AbleMessages  // speaks Anthropic's Messages, and is to be asked in them
	AbleResponses // speaks OpenAI's Responses, likewise
	AbleRanks     // ranks for several queries in one call, as the embedded engine has it
	abilityEnd
)

// AbleServe is the endpoints.
const AbleServe = AbleChat | AbleComplete | AbleEmbed | AbleRerank | AbleTranscribe | AbleSpeak | AbleDraw | AbleKServe

var abilityNames = [...]string{"chat", "completions", "embeddings", "rerank", "transcription", "speech", "image-generation", "kserve",
	"tools", "images", "audio", "json-schema", "logprobs", "continuation", "sleep", "lora", "token-count", "stream-usage", "token-continuation", "messages", "responses", "rank-batches"}

// Names lists the set, in the order of the constants. What this build does not know is
// left out.
func (a Ability) Names() []string {
	out := []string{}
	for i, name := range abilityNames {
		if a&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

func (a Ability) String() string { return strings.Join(a.Names(), ", ") }

// AbilityOf is the ability of that name; 0: there is none.
func AbilityOf(name string) Ability {
	for i, n := range abilityNames {
		if n == name {
			return 1 << i
		}
	}
	return 0
}

// Abilities is what an engine can and what it cannot. What is in neither is not known,
// and then the engine itself is asked.
type Abilities struct{ Can, Cannot Ability }

// Over is a, and where a does not know, b.
func (a Abilities) Over(b Abilities) Abilities {
	return Abilities{Can: a.Can | b.Can&^a.Cannot, Cannot: a.Cannot | b.Cannot&^a.Can}
}

// Either is what one of two engines can, and what neither can.
func (a Abilities) Either(b Abilities) Abilities {
	can := a.Can | b.Can
	return Abilities{Can: can, Cannot: a.Cannot & b.Cannot &^ can}
}

// Lacks is what of need is known to be impossible.
func (a Abilities) Lacks(need Ability) Ability { return need & a.Cannot }
