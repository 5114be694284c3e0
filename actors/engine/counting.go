package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
)

// TokenizePath is where engines that count tokens (spec.AbleCount) are asked for those of a chat or of a
// completion: by its body, and in vLLM's form, {"count", "tokens"}.
const TokenizePath = "/tokenize"

// counts is what a driver has whose program asks for that in another way.
type counts interface {
	tokens(ctx context.Context, w *web, body []byte) ([]json.RawMessage, error)
}

// counted makes tokens the answer that they would have been.
func counted(tokens []json.RawMessage, err error) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	if tokens == nil {
		tokens = []json.RawMessage{}
	}
	body, err := json.Marshal(map[string]any{"count": len(tokens), "tokens": tokens})
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Status: http.StatusText(http.StatusOK), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}, nil
}

// tokens renders a chat by the model's template first: the server tokenizes texts alone.
func (*llamaServer) tokens(ctx context.Context, w *web, body []byte) (tokens []json.RawMessage, err error) {
	var asked struct {
		Messages json.RawMessage `json:"messages"`
		Prompt   json.RawMessage `json:"prompt"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return nil, notAnObject(err)
	}
	if asked.Messages != nil {
		var rendered struct {
			Prompt json.RawMessage `json:"prompt"`
		}
		if err := w.call(ctx, http.MethodPost, "/apply-template", json.RawMessage(body), &rendered); err != nil {
			return nil, err
		}
		asked.Prompt = rendered.Prompt
	}
	var told struct {
		Tokens []json.RawMessage `json:"tokens"`
	}
	question := map[string]any{"content": asked.Prompt, "add_special": true, "parse_special": true}
	err = w.call(ctx, http.MethodPost, "/tokenize", question, &told)
	return told.Tokens, err
}
