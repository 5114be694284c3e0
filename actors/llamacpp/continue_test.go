package llamacpp

import "testing"

const alphabet = "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z"

// What was cut anywhere between two tokens goes on as if it had not been.
func TestContinuedWhereItWasCut(t *testing.T) {
	_, web := open(t, Config{})
	for _, cut := range []int{1, 7, 25, len(alphabet) - 2} {
		body := question("", fields{"continue_final_message": true, "add_generation_prompt": false})
		body["messages"] = []fields{user("Say the alphabet."), assistant(alphabet[:cut])}
		status, r := ask(t, web.URL, "/v1/chat/completions", body)
		if status != 200 || alphabet[:cut]+r.text() != alphabet || r.finish() != "stop" {
			t.Errorf("cut at %d: %d %q %+v", cut, status, r.text(), r.Error)
		}
	}
	// the same through a control token's spelling, which takes another way to the tokens
	body := question("", fields{"continue_final_message": true})
	body["messages"] = []fields{user("Say the alphabet."), assistant("A B <|im_end|>")}
	if status, r := ask(t, web.URL, "/v1/chat/completions", body); status != 200 || r.Error != nil {
		t.Errorf("%d %+v", status, r.Error)
	}
}
