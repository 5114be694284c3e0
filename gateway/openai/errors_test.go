package openai

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lotabots/lotabots/cluster/spec"
)

type document struct {
	Error struct {
		Message, Type, Code, Hint string
		Param                     *string
		RequestID                 string `json:"request_id"`
		Errors                    []struct{ Param, Message string }
	}
}

func TestAppendError(t *testing.T) {
	e := &spec.Error{Code: spec.CodeModelNotFound, Message: "There is no model \"x\\y\".\n", Param: "model"}
	var d document
	if err := json.Unmarshal(AppendError(nil, e, "req-1", []Problem{{"a", "b"}, {"c\x00", "\xff"}}), &d); err != nil {
		t.Fatal(err)
	}
	got := d.Error
	if got.Message != e.Message || got.Code != "model_not_found" || got.Type != "not_found_error" || got.RequestID != "req-1" || *got.Param != "model" ||
		got.Hint != e.Code.Lookup().Remedy || len(got.Errors) != 2 || got.Errors[1].Message != "\ufffd" || got.Errors[1].Param != "c\x00" {
		t.Errorf("%+v", got)
	}
	e.Param, e.Hint = "", "Do this."
	d = document{}
	event := string(AppendErrorEvent([]byte("x"), e, "r"))
	data, ok := strings.CutPrefix(event, "xevent: error\ndata: ")
	if !ok || strings.Count(event, "\n") != 3 || !strings.HasSuffix(event, "\n\n") || json.Unmarshal([]byte(data), &d) != nil {
		t.Fatalf("event %q", event)
	}
	if d.Error.Param != nil || d.Error.Hint != "Do this." {
		t.Errorf("%+v", d.Error)
	}
	if done, failed := Done([]byte(event)); done || !failed {
		t.Error("our own error event does not count as one")
	}
}

// TestEveryCode has a type that fits its status.
func TestEveryCode(t *testing.T) {
	for code, class := range spec.Catalogue {
		kind := TypeOf(code)
		if server := class.Status >= 500; server != (kind == "api_error") {
			t.Errorf("%s with status %d is an %s", code, class.Status, kind)
		}
		if class.Status == 429 && kind != "rate_limit_error" && code != spec.CodeBudget {
			t.Errorf("%s is an %s", code, kind)
		}
	}
}

func FuzzString(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\\n\u2028\xff\x7f")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && got != want {
			t.Fatalf("%q became %q", s, got)
		}
	})
}

func TestAppendDuration(t *testing.T) {
	for ms, want := range map[int64]string{-5: "0ms", 0: "0ms", 999: "999ms", 1000: "1s", 1001: "2s", 59_999: "60s", 60_000: "1m0s", 360_500: "6m1s"} {
		if got := string(AppendDuration(nil, ms)); got != want {
			t.Errorf("%d ms: %s, want %s", ms, got, want)
		}
	}
}
