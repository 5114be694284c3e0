package gateway

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/anthropic"
	"github.com/lotabots/lotabots/gateway/native"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/relay"
	"github.com/lotabots/lotabots/gateway/responses"
)

// A dialect is an API of clients that engines do not speak: its requests become chat
// completions, and their answers its own.
type dialect struct {
	endpoint openai.Endpoint
	native   *mother // nil: no engine speaks it
	// translate returns the body for the engine, and what makes the answer the client's.
	translate func(body []byte) ([]byte, relay.Shape, error)
	// param is the client's name for a field of chat completions, and renamed an error
	// about one.
	param   func(chat string) string
	renamed func(*spec.Error) *spec.Error
}

var (
	ofMessages = &dialect{endpoint: openai.Messages, translate: messages, param: anthropic.Param, renamed: anthropic.Renamed,
		native: &mother{spec.AbleMessages, "/v1/messages", native.Messages}}
	ofResponses = &dialect{endpoint: openai.Responses, translate: response, param: responses.Param, renamed: responses.Renamed,
		native: &mother{spec.AbleResponses, "/v1/responses", native.Responses}}
)

// A mother is the API that a dialect's clients speak, at engines that speak it too.
type mother struct {
	able spec.Ability
	path string
	api  native.API
}

// natively is the request for engines that speak the client's API, whose body is the client's.
func (x *inferring) natively(body []byte) *relay.Native {
	if x.dialect == nil || x.dialect.native == nil {
		return nil
	}
	m := x.dialect.native
	var follow func(int)
	if s, ok := x.Shape.(interface{ Behind(events int) }); ok {
		follow = s.Behind
	}
	return &relay.Native{Able: m.able, Path: m.path, Body: body, Shape: native.New(m.api, x.Shape, follow)}
}

func messages(body []byte) ([]byte, relay.Shape, error) {
	q, e := anthropic.Translate(body)
	if err := flawed(e, q.Problems); err != nil {
		return nil, nil, err
	}
	return q.Chat, q.Shape("msg_" + freshID()), nil
}

func response(body []byte) ([]byte, relay.Shape, error) {
	q, e := responses.Translate(body)
	if err := flawed(e, q.Problems); err != nil {
		return nil, nil, err
	}
	return q.Chat, q.Shape(freshID(), time.Now().Unix()), nil
}

// flawed is what is wrong with a body as an error, or nil.
func flawed(e *spec.Error, problems []openai.Problem) error {
	switch {
	case e != nil:
		return e
	case len(problems) > 0:
		return &invalid{problems: problems}
	}
	return nil
}

// spare is how many tokens of a template are reckoned with.
const spare = 64

// speak translates the body where the client speaks otherwise than engines do.
func (x *inferring) speak(body []byte) (_ []byte, err error) {
	if x.dialect == nil {
		return body, nil
	}
	written := body
	if body, x.Shape, err = x.dialect.translate(written); err != nil {
		return nil, err
	}
	x.spoken, x.Native = true, x.natively(written)
	return body, nil
}

// fit is fitting for messages.
func (x *inferring) fit(r *request, d *deployment, check *openai.Request, body []byte) ([]byte, error) {
	if x.endpoint != openai.Messages {
		return body, nil
	}
	_, context := r.g.table.Abilities(d.GetName(), d.alone())
	fit, changed, err := fitting(body, check.MaxTokens, context)
	if changed {
		x.Native = nil // which asks for more
	}
	return fit, err
}

// fitting lowers max_tokens to what the context holds beside the prompt. Messages have to
// give one, so that clients give more than they mean, and some engines refuse that. A
// prompt is reckoned at three bytes a token, which is more than most have; where that
// leaves nothing the engine has its say.
func fitting(body []byte, most, context int) (fit []byte, changed bool, err error) {
	room := context - len(body)/3 - spare
	if context == 0 || room < 1 || most <= room {
		return body, false, nil
	}
	fit, err = openai.WithField(body, "max_tokens", strconv.AppendInt(nil, int64(room), 10))
	return fit, true, err
}

// freshID tells an answer from others.
func freshID() string {
	const digits = 16
	b := strconv.AppendUint(make([]byte, 0, 2*digits), rand.Uint64()|1<<63, 16)
	return string(strconv.AppendUint(b, rand.Uint64()|1<<63, 16))
}

// named gives an error that is about the translation the client's names for fields.
func (x *inferring) named(err error) error {
	if err == nil || !x.spoken {
		return err
	}
	d := x.dialect
	var bad *invalid
	if errors.As(err, &bad) {
		renamed := make([]openai.Problem, len(bad.problems))
		for i, p := range bad.problems {
			renamed[i] = openai.Problem{Param: d.param(p.Param), Message: p.Message}
		}
		return &invalid{problems: renamed}
	}
	var e *spec.Error
	if errors.As(err, &e) {
		if told := d.renamed(e); told != e {
			told.Err = err
			return told
		}
	}
	return err
}
