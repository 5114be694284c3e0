package chat

import (
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

var renames = []Rename{{Chat: "tools[].function.parameters", Client: "tools[].input_schema"}, {Chat: "tools[].function", Client: "tools[]"},
	{Chat: "messages", Client: "messages", Whole: true}, {Chat: "stop", Client: "stop_sequences"}}

func TestParam(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "tools[12].function.parameters.a[3]": "tools[12].input_schema.a[3]", "tools.1.function.name": "tools[1].name", "tools[1].function": "tools[1]",
		"tools[1].functional": "tools[1].functional", "tools": "tools", "tools[": "tools[", "tools].function": "tools].function", "messages[1].role": "messages", "stop[0]": "stop_sequences[0]", "stopper": "stopper",
	} {
		if got := Param(renames, in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestRenamed: the message names the field as param does, where it names it.
func TestRenamed(t *testing.T) {
	for _, c := range []struct{ param, message, want string }{
		{"stop", "stop has 5 strings.", "stop_sequences has 5 strings."}, {"stop", "Too many: stop at 4.", "Too many: stop at 4."},
		{"tools[0].function.parameters", "The schema tools[0].function.parameters is bad.", "The schema tools[0].input_schema is bad."},
	} {
		e := &spec.Error{Code: spec.CodeInvalidRequest, Param: c.param, Message: c.message}
		got := Renamed(renames, e)
		if got.Message != c.want || got.Param == c.param || got.Code != e.Code || e.Message != c.message {
			t.Errorf("%+v", got)
		}
	}
}

func FuzzParam(f *testing.F) {
	f.Add("tools[1].function.name")
	f.Fuzz(func(_ *testing.T, in string) { Param(renames, in) })
}
