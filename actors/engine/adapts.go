package engine

import "github.com/lotabots/lotabots/cluster/spec"

// Adapts tells whether the requests that an instance gets at a time are found, within its slots: as its option
// says, else where slots are but a bound. Those of vLLM and SGLang are of what they batch by themselves, as their
// memory allows; what an external engine takes is a guess. Other presets' are what their engine has set memory
// aside for, so more or fewer were chosen by whoever deployed it.
func Adapts(preset string, options map[string]string) bool {
	switch options[spec.AdaptiveSlots] {
	case "on":
		return true
	case "off":
		return false
	}
	return preset == VLLM || preset == SGLang || preset == External
}
