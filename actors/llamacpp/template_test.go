package llamacpp

import (
	"strings"
	"testing"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

var dialogue = []openai.Message{{Role: "system", Content: "SYS"}, {Role: "user", Content: "U1"}, {Role: "assistant", Content: "A1"}, {Role: "user", Content: "U2"}}

// The lines are what tells the families' own templates apart; the texts are what those families were taught.
func TestFamiliesOfChats(t *testing.T) {
	open(t, Config{Slots: 1, Context: 256}) // loads the libraries
	for _, c := range []struct{ name, template, want string }{
		{"chatml", `{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>'}}`,
			"<|im_start|>system\nSYS<|im_end|>\n<|im_start|>user\nU1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n"},
		{"llama2", `{% if '<<SYS>>' %}{{ bos_token + '[INST] ' + content }} [/INST]`,
			"[INST] <<SYS>>\nSYS\n<</SYS>>\n\nU1 [/INST]A1</s><s>[INST] U2 [/INST]"},
		{"llama3", `'<|start_header_id|>' + message['role'] + '<|end_header_id|>' + content + '<|eot_id|>'`,
			"<|start_header_id|>system<|end_header_id|>\n\nSYS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU1<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA1<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU2<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
		{"gemma", `'<start_of_turn>' + role + '\n' + content + '<end_of_turn>'`,
			"<start_of_turn>user\nSYS\n\nU1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n<start_of_turn>user\nU2<end_of_turn>\n<start_of_turn>model\n"},
		{"mistral v7", `[SYSTEM_PROMPT] [INST] [/INST]`,
			"[SYSTEM_PROMPT] SYS[/SYSTEM_PROMPT][INST] U1[/INST] A1</s>[INST] U2[/INST]"},
		{"mistral v3", `[AVAILABLE_TOOLS] '[INST] ' [/INST]`, "[INST] SYS\n\nU1[/INST] A1</s>[INST] U2[/INST]"},
		{"phi3", `'<|user|>' + content + '<|end|>' '<|assistant|>'`,
			"<|system|>\nSYS<|end|>\n<|user|>\nU1<|end|>\n<|assistant|>\nA1<|end|>\n<|user|>\nU2<|end|>\n<|assistant|>\n"},
		{"deepseek", `'<｜User｜>' + content + '<｜Assistant｜>' '<｜end▁of▁sentence｜>'`,
			"SYS\n\n<｜User｜>U1<｜Assistant｜>A1<｜end▁of▁sentence｜><｜User｜>U2<｜Assistant｜>"},
		{"command-r", `<|START_OF_TURN_TOKEN|><|USER_TOKEN|>`,
			"<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>SYS<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>U1<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>A1<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>U2<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"},
	} {
		if got, err := render(c.template, dialogue, true); err != nil || got != c.want {
			t.Errorf("%s: %v\n%q, want\n%q", c.name, err, got, c.want)
		}
	}
	if got, err := render("{{ nobody knows this }}", dialogue, true); err == nil {
		t.Errorf("an unknown template gave %q", got)
	}
}

// Whatever llama.cpp knows by name says everything in its order, and an answer can begin after it.
func TestEveryBuiltInTemplate(t *testing.T) {
	open(t, Config{Slots: 1, Context: 256})
	names := llama.ChatBuiltinTemplates()
	if len(names) < 30 {
		t.Fatalf("llama.cpp knows %d templates", len(names))
	}
	for _, name := range names {
		with, err := render(name, dialogue, true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		at := 0
		for _, m := range dialogue {
			found := strings.Index(with[at:], m.Content)
			if found < 0 && m.Role == "system" {
				continue // some have no place for it
			}
			if found < 0 {
				t.Errorf("%s says %q without %s", name, with, m.Content)
				break
			}
			at += found + len(m.Content)
		}
		if without, err := render(name, dialogue, false); err != nil || !strings.HasPrefix(with, without) {
			t.Errorf("%s: the answer's beginning does not follow %q but %q", name, without, with)
		}
	}
}

func TestFormatOfControlTokens(t *testing.T) {
	for want, controls := range map[string][]string{
		"chatml": {"</s>", "<|im_start|>", "<|im_end|>"}, "phi4": {"<|im_sep|>", "<|im_start|>"}, "llama3": {"<|start_header_id|>"}, "phi3": {"<|end|>", "<|assistant|>"},
		"zephyr": {"<|assistant|>", "</s>"}, "mistral-v3": {"[INST]"}, "mistral-v7": {"[INST]", "[SYSTEM_PROMPT]"}, "": {"</s>"},
	} {
		if got := formatOf(controls); got != want {
			t.Errorf("%q: %q, want %q", controls, got, want)
		}
	}
}

func TestChatTemplateByName(t *testing.T) {
	e, _ := open(t, Config{Slots: 1, Context: 256, ChatTemplate: "gemma"})
	if got, err := render(e.format, dialogue[1:2], true); err != nil || !strings.Contains(got, "<start_of_turn>") {
		t.Errorf("%q, %v", got, err)
	}
	if e, err := Open(Config{Libraries: libraries(t), Model: shipped, ChatTemplate: "none of them"}); err == nil {
		e.Close()
		t.Error("a template that nobody knows was taken")
	}
}
