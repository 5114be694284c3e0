package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A trial is the smallest thing that has a model compute.
type trial struct {
	path string
	body []byte
}

// trials are what an engine is tried with, in this order: which of them a model
// answers depends on what it was made for.
func trials(model string) []trial {
	body := func(v map[string]any) []byte {
		v["model"] = model
		raw, _ := json.Marshal(v) // of strings and numbers: it cannot fail
		return raw
	}
	return []trial{
		{"/v1/completions", body(map[string]any{"prompt": "Hello", "max_tokens": 1, "temperature": 0})},
		{"/v1/chat/completions", body(map[string]any{"messages": []map[string]string{{"role": "user", "content": "Hello"}}, "max_tokens": 1, "temperature": 0})},
		{"/v1/embeddings", body(map[string]any{"input": "Hello"})},
		{"/v1/rerank", body(map[string]any{"query": "Hello", "documents": []string{"Hello"}})},
	}
}

// canaryOf is what is asked of an idle engine of a preset that was warmed up by t.
// Ours has a question that leaves its slots as they are.
func canaryOf(ctx context.Context, e *monitored, preset string, t *trial) *trial {
	own := &trial{"/canary", []byte("{}")}
	if preset == engine.Embedded && try(ctx, e, *own) == nil {
		return own
	}
	return t
}

// crowded tells that the preset keeps conversations in so few slots that a canary
// takes one from somebody who may go on.
func crowded(preset string) bool { return preset == engine.Ollama || preset == engine.LlamaServer }

// A refusalError is an answer of 400 or more.
type refusalError struct {
	path   string
	status int
	text   string
}

func (e *refusalError) Error() string {
	return fmt.Sprintf("the engine answers %s with %d: %s", e.path, e.status, e.text)
}

// unfit tells that the engine does not do such things, and why it answers at all.
func (e *refusalError) unfit() bool {
	return e.status < 500 && e.status != http.StatusTooManyRequests || e.status == http.StatusNotImplemented
}

// busy tells that it may do so in a moment.
func (e *refusalError) busy() bool {
	return e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable
}

const (
	maxTrialAnswer = 4 << 20 // an embedding has thousands of numbers
	busyWait       = 250 * time.Millisecond
)

// try has the engine answer t in full.
func try(ctx context.Context, e *monitored, t trial) error {
	resp, err := e.do(ctx, t.path, engine.Head{RequestID: "canary"}, t.body, true)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxTrialAnswer))
	switch {
	case err != nil:
		return err
	case resp.StatusCode >= http.StatusBadRequest:
		return &refusalError{t.path, resp.StatusCode, string(text[:min(len(text), 200)])}
	}
	return nil
}

// warmUp has the engine compute once before anybody waits for it, and returns what
// it answered to; nil: it refuses all that is known here, but it does answer.
func warmUp(ctx context.Context, e *monitored, model string) (*trial, error) {
	for _, t := range trials(model) {
		began := time.Now()
		err := try(ctx, e, t)
		for refused := (*refusalError)(nil); errors.As(err, &refused) && refused.busy(); err = try(ctx, e, t) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-e.Done():
				return nil, errors.New("it ended")
			case <-time.After(busyWait):
			}
			began = time.Now()
		}
		if err == nil {
			e.pulse.learnFirst(len(t.body), time.Since(began))
			return &t, nil
		}
		if refused := (*refusalError)(nil); !errors.As(err, &refused) || !refused.unfit() {
			return nil, err
		}
	}
	return nil, nil
}

// explainer is an engine with a program of its own, whose last words it knows.
type explainer interface{ Explain(error) error }

// cold is the error of an engine that started and could not answer.
func cold(e *monitored, preset string, err error) error {
	select {
	case <-e.Done():
		if ended := e.Err(); ended != nil {
			err = ended
		}
	case <-time.After(lost): // its end may be a moment behind the broken connection
	}
	err = fmt.Errorf("its first request failed: %w", err)
	if e, ok := engine.As[explainer](e); ok {
		return e.Explain(err)
	}
	return &spec.Error{Code: spec.CodeEngineStart, Message: fmt.Sprintf("the engine %s: %v", preset, err), Err: err}
}
