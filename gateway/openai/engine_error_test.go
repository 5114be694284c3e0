package openai

import (
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestEngineError(t *testing.T) {
	unserved := func(said string) spec.Error {
		return spec.Error{Code: spec.CodeUnsupportedModel, Message: "The model's engine does not serve POST /v1/embeddings (status " + said + ").",
			Hint: "Use a model whose engine serves POST /v1/embeddings: GET /v1/models tells what each can."}
	}
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
		{401, `{"error":{"message":"Bad key.","code":"invalid_api_key"}}`,
			spec.Error{Code: spec.CodeUpstream, Message: "The engine answered with status 401: Bad key.", EngineCode: "invalid_api_key"}},
		{404, `<html>`, unserved("404: <html>")},
		{404, ``, unserved("404")},
		{404, `{"detail":"Not Found"}`, unserved("404: Not Found")},
		{404, `{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}`, unserved("404: File Not Found")},
		{404, `404 page not found`, unserved("404: 404 page not found")},
		{404, `{"error":{"message":"The model does not support Embeddings API","code":404}}`, unserved("404: The model does not support Embeddings API")},
		{404, `{"error":{"message":"POST /v1/embeddings is not served here","code":"not_found"}}`, unserved("404: POST /v1/embeddings is not served here")},
		{405, `{"detail":"Method Not Allowed"}`, unserved("405: Method Not Allowed")},
		{404, `{"error":"model 'x' not found, try pulling it first"}`, spec.Error{Code: spec.CodeNotFound, Message: "model 'x' not found, try pulling it first"}},
		{404, `{"error":{"message":"The LoRA adapter y does not exist.","param":"model"}}`, spec.Error{Code: spec.CodeNotFound, Message: "The LoRA adapter y does not exist.", Param: "model"}},
		{400, `{}`, spec.Error{Code: spec.CodeInvalidRequest, Message: "The engine refused the request with status 400 and gave no reason.", Hint: reasonless[spec.CodeInvalidRequest]}},
		{400, ` `, spec.Error{Code: spec.CodeInvalidRequest, Message: "The engine refused the request with status 400 and gave no reason.", Hint: reasonless[spec.CodeInvalidRequest]}},
		{422, `{"error":{"message":""},"detail":[null]}`, spec.Error{Code: spec.CodeInvalidRequest, Message: "The engine refused the request with status 422 and gave no reason.", Hint: reasonless[spec.CodeInvalidRequest]}},
		{400, `{"reason":"n"}`, spec.Error{Code: spec.CodeInvalidRequest, Message: `The engine answered with status 400: {"reason":"n"}`}},
		{500, `{}`, spec.Error{Code: spec.CodeUpstream, Message: "The engine failed with status 500 and gave no reason."}},
		{404, `{"object":"error","message":"The model x does not exist.","code":404}`, spec.Error{Code: spec.CodeNotFound, Message: "The model x does not exist."}},
		{429, `{"error":{"message":"Later."}}`, spec.Error{Code: spec.CodeBusy, Message: `The engine answered with status 429: Later.`}},
		{429, "", spec.Error{Code: spec.CodeBusy, Message: `The engine refused the request with status 429 and gave no reason.`}},
		{500, `{"error":{"message":"No.","code":"invalid_request","param":"x"}}`,
			spec.Error{Code: spec.CodeUpstream, Message: `The engine answered with status 500: No.`, EngineCode: "invalid_request"}},
		{501, `{"error":{"code":501,"message":"This server does not support embeddings.","type":"not_supported_error"}}`,
			spec.Error{Code: spec.CodeUnsupportedModel, Message: "This server does not support embeddings."}},
		{422, `{"detail":[{"type":"missing","loc":["body","messages",0,"role"],"msg":"Field required","input":{}},{"loc":["body","n"],"msg":"Too many"}]}`,
			spec.Error{Code: spec.CodeInvalidRequest, Param: "messages[0].role", Message: "messages[0].role: Field required; n: Too many"}},
		{422, `{"detail":"Not like this"}`, spec.Error{Code: spec.CodeInvalidRequest, Message: "Not like this"}},
		{400, `{"error":"[request id: 1] unexpected shape"}`, spec.Error{Code: spec.CodeInvalidRequest, Message: "[request id: 1] unexpected shape"}},
		{400, `{"error":{"message":"Bad n.","param":"messages.3.content.0","code":"invalid_value"}}`,
			spec.Error{Code: spec.CodeInvalidRequest, Message: "Bad n.", Param: "messages[3].content[0]", EngineCode: "invalid_value"}},
		{400, `[{"error":{"code":400,"message":"In a list.","status":"INVALID_ARGUMENT"}}]`, spec.Error{Code: spec.CodeInvalidRequest, Message: "In a list."}},
		{413, `{"error":{"message":"Too much."}}`, spec.Error{Code: spec.CodeBodyTooLarge, Message: "Too much.", Hint: "Send less: it is the engine's limit."}},
		{204, ``, spec.Error{Code: spec.CodeUpstream, Message: "The engine answered with status 204: nothing"}},
	} {
		if got := EngineError("POST /v1/embeddings", c.status, []byte(c.answer)); *got != c.want {
			t.Errorf("%d %s: %+v", c.status, c.answer, *got)
		}
	}
}

func TestStreamError(t *testing.T) {
	for in, want := range map[string]spec.Error{
		"data: {\"error\":{\"message\":\"out of memory\"}}\n\n":                                  {Code: spec.CodeUpstream, Message: "The engine ended the stream with an error: out of memory"},
		"event: error\ndata: {\"error\":{}}":                                                     {Code: spec.CodeUpstream, Message: "The engine ended the stream with an error."},
		"data: {\"error\":\"flat\"}\n\n":                                                         {Code: spec.CodeUpstream, Message: "The engine ended the stream with an error: flat"},
		"data: {\"error\":{\"message\":\"cut":                                                    {Code: spec.CodeUpstream, Message: "The engine ended the stream with an error."},
		"data: {\"object\":\"error\",\"message\":\"Bad.\",\"code\":400,\"param\":\"n\"}\n\n":     {Code: spec.CodeInvalidRequest, Message: "Bad.", Param: "n"},
		"data: {\"error\":{\"message\":\"Long.\",\"code\":\"context_length_exceeded\"}}\r\n\r\n": {Code: spec.CodeContextLength, Message: "Long."},
		"data: {\"error\":{\"message\":\"Died.\",\"code\":503}}\n\n":                             {Code: spec.CodeUpstream, Message: "The engine ended the stream with an error: Died."},
	} {
		if got := StreamError([]byte(in)); *got != want {
			t.Errorf("%q: %+v", in, *got)
		}
	}
}
