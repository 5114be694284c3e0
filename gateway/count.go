package gateway

import (
	"errors"
	"fmt"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/anthropic"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/relay"
	"github.com/lotabots/lotabots/gateway/responses"
)

// HeaderEstimated is on a count of tokens that is reckoned from the text's length.
const HeaderEstimated = "X-LotaBots-Estimated"

// A counting is a client's API of counts.
type counting struct {
	dialect *dialect
	answer  func(dst []byte, tokens int) []byte
}

var (
	messageTokens  = counting{&dialect{endpoint: openai.CountTokens, translate: countMessages, param: anthropic.Param, renamed: anthropic.Renamed}, anthropic.AppendCount}
	responseTokens = counting{&dialect{endpoint: openai.CountTokens, translate: countResponse, param: responses.Param, renamed: responses.Renamed}, responses.AppendCount}
)

func countMessages(body []byte) ([]byte, relay.Shape, error) {
	q, e := anthropic.TranslateCount(body)
	return q.Chat, counter{anthropic.AppendCount}, flawed(e, q.Problems)
}

func countResponse(body []byte) ([]byte, relay.Shape, error) {
	q, e := responses.Translate(body)
	return q.Chat, counter{responses.AppendCount}, flawed(e, q.Problems)
}

// countTokens tells how many tokens a conversation has: the engine does, where it can.
// Where it cannot, or does not answer, the count is an estimate, and says so.
// What it refuses as too large has no count.
func countTokens(c counting) operation {
	return func(r *request) error {
		x := newInferring()
		x.endpoint, x.dialect = c.dialect.endpoint, c.dialect
		if err := r.begin(x); err != nil {
			return x.named(err)
		}
		if a, _ := r.g.table.Abilities(x.Call.Deployment, 0); a.Can&spec.AbleCount == 0 {
			x.account(&relay.Outcome{Status: fasthttp.StatusOK})
		} else {
			x.Done = x.ended
			if err := r.g.relay.Serve(r.ctx, &x.Exchange); err == nil || errors.Is(err, relay.ErrGone) {
				return err
			} else if spec.CodeOf(err) == spec.CodeContextLength {
				return x.named(err) // more than the engine even looks at: an estimate would hide its reason
			}
		}
		r.ctx.Response.Header.Set(HeaderEstimated, "true")
		r.ctx.SetStatusCode(fasthttp.StatusOK)
		r.ctx.Response.Header.SetContentType("application/json")
		r.ctx.Response.SetBodyRaw(c.answer(nil, x.Call.PromptTokens))
		return nil
	}
}

// counter is the Shape of an engine's count: vLLM's, which the embedded engine gives too.
type counter struct {
	answer func(dst []byte, tokens int) []byte
}

func (counter) ContentType(bool) string { return "application/json" }

func (c counter) Whole(dst, answer []byte) ([]byte, error) {
	v, err := fastjson.ParseBytes(answer)
	if err != nil {
		return dst, err
	}
	n := v.Get("count")
	if n == nil || n.Type() != fastjson.TypeNumber {
		return dst, fmt.Errorf("there is no count")
	}
	return c.answer(dst, n.GetInt()), nil
}

func (counter) Events(dst, _ []byte) ([]byte, error)              { return dst, nil }
func (counter) Failed(dst []byte, _ *spec.Error, _ string) []byte { return dst }
func (counter) Ping(dst []byte) []byte                            { return dst }
