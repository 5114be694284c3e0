package openai

import (
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestEngineError(t *testing.T) {
	for _, c := range []struct {
		status int
		answer string
		want   spec.Error
	}{
		{400, `{"error":{"message":"Too long.","param":"messages","code":"context_length_exceeded","hint":"Shorten it."}}`,
			spec.Error{Code: spec.CodeContextLength, Message: "Too long.", Param: "messages", Hint: "Shorten it."}},
		{400, `{"object":"error","message":"This model's maximum context length is 9 tokens.","code":400}`,
			spec.Error{Code: spec.CodeContextLength, Message: "This model's maximum context length is 9 tokens."}},
		{400, `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`,
			spec.Error{Code: spec.CodeContextLength, Message: "the request exceeds the available context size"}},
		{401, `{"error":{"message":"Bad key.","code":"invalid_api_key"}}`, spec.Error{Code: spec.CodeInvalidRequest, Message: "Bad key."}},
		{404, `<html>`, spec.Error{Code: spec.CodeInvalidRequest, Message: "The engine answered with status 404: <html>"}},
		{429, `{"error":{"message":"Later."}}`, spec.Error{Code: spec.CodeBusy, Message: `The engine answered with status 429: {"error":{"message":"Later."}}`}},
		{500, `{"error":{"message":"No.","code":"invalid_request"}}`, spec.Error{Code: spec.CodeUpstream, Message: `The engine answered with status 500: {"error":{"message":"No.","code":"invalid_request"}}`}},
	} {
		if got := EngineError(c.status, []byte(c.answer)); *got != c.want {
			t.Errorf("%d %s: %+v", c.status, c.answer, *got)
		}
	}
}
