package tools

import (
	"strings"

	"github.com/lotabots/lotabots/actors/llamacpp/grammar"
	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

// A Family is a form of calls and how tools and results are told.
type Family struct {
	Name string
	Form grammar.Form
	// Mark is what a call begins with, by which it is known in free text.
	Mark string
	// AtStart: a call is the whole answer, or none.
	AtStart bool
	// Marks are the words that are control tokens in some vocabularies.
	Marks []string

	show    func(tools []openai.Tool) string // what the system message says of them
	results func(results []openai.Message) Turn
}

var hermes = Family{
	Name:  "hermes",
	Form:  grammar.Form{Before: "<tool_call>\n", After: "\n</tool_call>", Between: "\n", Key: "arguments", Many: true},
	Mark:  "<tool_call>",
	Marks: []string{"<tool_call>", "</tool_call>"},
	show: func(tools []openai.Tool) string {
		return "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n" +
			"You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n" + list(tools, "\n") + "\n</tools>\n\n" +
			"For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n" +
			"<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>"
	},
	results: func(results []openai.Message) Turn {
		t := Turn{Role: "user"}
		for i, m := range results {
			t.mark(strings.Repeat("\n", min(i, 1)) + "<tool_response>\n")
			t.text(m.Content)
			t.mark("\n</tool_response>")
		}
		return t
	},
}

var llama3 = Family{
	Name:    "llama3",
	Form:    grammar.Form{Key: "parameters", Between: "\n"},
	Mark:    `{"name"`,
	AtStart: true,
	show: func(tools []openai.Tool) string {
		return "Environment: ipython\n\nYou have access to the following functions. To call a function, please respond with JSON for a function call. " +
			"Respond in the format {\"name\": function name, \"parameters\": dictionary of argument name and its value}. Do not use variables.\n\n" + list(tools, "\n\n")
	},
	results: func(results []openai.Message) Turn {
		t := Turn{Role: "ipython"}
		for i, m := range results {
			t.mark(strings.Repeat("\n", min(i, 1)))
			t.text(m.Content)
		}
		return t
	},
}

var mistral = Family{
	Name:  "mistral",
	Form:  grammar.Form{Open: "[TOOL_CALLS] [", Close: "]", Between: ", ", Key: "arguments", Many: true},
	Mark:  "[TOOL_CALLS]",
	Marks: []string{"[TOOL_CALLS]"},
	results: func(results []openai.Message) Turn {
		t := Turn{Role: "user", outside: true}
		for _, m := range results {
			t.mark("[TOOL_RESULTS] {\"content\": ")
			t.text(asJSON(m.Content))
			t.mark(", \"call_id\": ")
			t.text(asJSON(m.CallID))
			t.mark("}[/TOOL_RESULTS]")
		}
		return t
	},
}

// ForModel is the family that a chat template, or the name of one of llama.cpp's, and the vocabulary's control tokens tell.
func ForModel(template string, controls []string) *Family {
	f := hermes
	has := func(s string) bool { return strings.Contains(template, s) }
	control := false
	for _, c := range controls {
		control = control || c == "[TOOL_CALLS]"
	}
	switch {
	case has("<tool_call>"), template == "chatml":
	case has("[TOOL_CALLS]") && !has("[ARGS]"), strings.HasPrefix(template, "mistral-v") && control:
		f = mistral
	case has("<|start_header_id|>") && has("parameters"):
		f = llama3
	default:
		f.Name = "generic"
	}
	return &f
}
