package relay

import (
	"errors"
	"fmt"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// Paths whose streams are followed: they can be asked for their usage, and resumed.
const (
	chatPath       = "/v1/chat/completions"
	completionPath = "/v1/completions"
)

// errUnable says that an instance cannot go on with an answer that another has begun.
var errUnable = errors.New("the instance cannot continue an answer")

// An asking is what an engine was asked for besides what the client asks for. It is
// taken out of the stream again.
type asking struct {
	usage   bool
	tokens  bool
	choices int // that the client asked for; 0: not known
}

// follows tells whether the answer is a stream of a chat or a completion.
func (x *Exchange) follows() bool {
	return x.Call.Stream && x.writes()
}

// writes tells whether the engine is asked for a chat or a completion.
func (x *Exchange) writes() bool { return x.Call.Path == chatPath || x.Call.Path == completionPath }

// compose returns the body for the instance that the grant is for: the client's,
// with what the gateway asks for itself where the instance knows it, or, once
// something of an answer has been passed on, the continuation of that.
func (x *Exchange) compose() ([]byte, error) {
	if x.native {
		return x.Native.Body, nil
	}
	if !x.follows() {
		return x.Body, nil
	}
	can := x.grant.Able.Can
	usage, tokens := can&spec.AbleUsage != 0, can&spec.AbleTokens != 0
	body, asked, err := openai.Ask(x.Body, usage, tokens)
	if err != nil { // not what the gateway's check lets through
		return x.Body, nil //nolint:nilerr // the engine says best what is wrong with it
	}
	x.asking = asking{usage: usage && !asked.Usage, tokens: tokens && !asked.Tokens, choices: asked.N}
	if x.Call.Path == completionPath {
		x.asking.choices *= asked.Prompts
	}
	x.wanted = asked.Usage
	if !x.resuming {
		return body, nil
	}
	x.shift = 0
	begun := openai.Begun{Text: x.script.text, Tokens: x.script.tokens, Events: x.script.events, Pieces: x.script.pieces}
	switch {
	case x.script.silent(): // nothing to go on from: it is asked again
		return body, nil
	case tokens && x.script.tokensWhole():
		return openai.ContinueTokens(body, begun)
	case can&spec.AbleContinue == 0:
		return nil, errUnable
	}
	if why := x.script.textLost(); why != "" {
		return nil, fmt.Errorf("%w: %s", openai.ErrNoContinuation, why)
	}
	x.shift = x.script.pieces
	return openai.ContinueText(x.Call.Path == chatPath, body, begun)
}
