package gateway

import (
	"github.com/lotabots/lotabots/gateway/fair"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/relay"
)

// What decides whose turn it is, where requests wait.

// party is by whom the request is counted: its tenant; of those who are in none, its key or user.
func (r *request) party() string {
	switch {
	case r.who.Tenant != "":
		return r.who.Tenant
	case r.who.Key != "":
		return r.who.Key
	}
	return r.who.User
}

// usualTokens is how long an answer is expected to be, at most: few are as long as they
// might be.
const usualTokens = 250

// expectedTokens is how many tokens the answer is expected to have.
func expectedTokens(e openai.Endpoint, check *openai.Request) int {
	switch {
	case !e.Streams() || e.Raw(): // it is not made of tokens
		return 1
	case check.MaxTokens == 0:
		return usualTokens * max(1, check.N)
	}
	return min(check.MaxTokens, usualTokens) * max(1, check.N)
}

// taken is what a request that ended so counts for its tenant; below 0: that is not known.
func taken(o relay.Outcome) float64 {
	switch {
	case o.HasUsage || o.Estimated:
		return fair.Cost(o.Usage.Prompt, o.Usage.Cached, o.Usage.Completion)
	case o.Err != nil || o.Status >= 400:
		return 0
	}
	return -1
}
