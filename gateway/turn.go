package gateway

import (
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/fair"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/relay"
)

// What decides whose turn it is, where requests wait, and how long they do.

// Headers by which clients say that.
const (
	// HeaderPriority is low, normal, high or critical. It goes before the body's priority
	// and service_tier. What is above what the key may ask for counts as that.
	HeaderPriority = "X-LotaBots-Priority"
	// HeaderDeadline is when the answer must be whole: a number of seconds from now, a
	// duration such as 1500ms or 2m, or a time such as 2026-01-02T15:04:05Z.
	HeaderDeadline = "X-LotaBots-Deadline"
)

// turn notes when the request is served and until when it may wait. It returns the body
// as the engine may get it.
func (x *inferring) turn(r *request, check *openai.Request, d *deployment, body []byte) ([]byte, error) {
	q := &x.Query
	q.Tenant, q.OutputTokens = r.party(), expectedTokens(x.endpoint, check)
	may := r.g.ranks.of(r.who.Key, r.who.Tenant, d.GetName())
	asked, err := r.wants(check, may.usual)
	if err != nil {
		return nil, err
	}
	q.Priority = min(asked, may.most)
	if check.Priority < 0 && byNumber(check.Priority) > may.most && x.endpoint.Body() == openai.JSON {
		// Its engine is not to take it for more than that either.
		if body, err = openai.WithField(body, "priority", strconv.AppendInt(nil, -int64(may.most), 10)); err != nil {
			return nil, err
		}
		x.Native = nil // in which it still stands
	}
	return body, x.until(r)
}

// taken refuses what this gateway cannot do besides, before anything is read. The body
// may ask for another priority: here the header and the key's count alone.
func (r *request) taken() error {
	may := r.g.ranks.of(r.who.Key, r.who.Tenant, "")
	p := may.usual
	if text := r.field(&fieldPriority); len(text) > 0 {
		if asked, ok := fair.ParsePriority(string(text)); ok {
			p = min(asked, may.most)
		}
	}
	if r.g.strain.Admit(p) {
		return nil
	}
	return &limited{after: r.g.strain.RetryAfter(p), err: spec.Errorf(spec.CodeOverloaded, "This node has more to do than it can, and requests of higher priority go first.")}
}

// wants is the priority that the client asks for.
func (r *request) wants(check *openai.Request, usual fair.Priority) (fair.Priority, error) {
	if text := r.field(&fieldPriority); len(text) > 0 {
		p, ok := fair.ParsePriority(string(text))
		if !ok {
			return p, &spec.Error{Code: spec.CodeInvalidRequest, Param: HeaderPriority, Message: HeaderPriority + " must be low, normal, high or critical."}
		}
		return p, nil
	}
	switch {
	case check.Priority != 0:
		return byNumber(check.Priority), nil
	case check.Tier == openai.TierFlex:
		return fair.Low, nil
	case check.Tier == openai.TierPriority:
		return max(usual, fair.High), nil
	}
	return usual, nil
}

// byNumber is the priority that a number stands for, as vLLM has it: less is sooner.
func byNumber(n int) fair.Priority {
	return -fair.Priority(max(-int(fair.Critical), min(n, -int(fair.Low))))
}

// until notes the client's deadline.
func (x *inferring) until(r *request) error {
	if text := r.field(&fieldDeadline); len(text) > 0 {
		at, ok := parseDeadline(string(text), x.began)
		switch {
		case !ok:
			return &spec.Error{Code: spec.CodeInvalidRequest, Param: HeaderDeadline,
				Message: HeaderDeadline + " must be a number of seconds, a duration such as 1500ms, or a time such as 2026-01-02T15:04:05Z."}
		case !at.After(x.began):
			return &spec.Error{Code: spec.CodeDeadline, Param: HeaderDeadline, Message: "The request's deadline had passed when it came."}
		case at.Before(x.Call.Deadline):
			x.Call.Deadline, x.Query.Deadline = at, at
		}
		return nil
	}
	for i := range fieldsTimeout {
		text := r.field(&fieldsTimeout[i])
		if len(text) == 0 { // nearly always, and an error is made at a cost
			continue
		}
		if s, err := strconv.ParseFloat(string(text), 64); err == nil && s > 0 && s < 1e6 {
			x.Query.Deadline = x.began.Add(time.Duration(s * float64(time.Second)))
			break
		}
	}
	return nil
}

// parseDeadline reads HeaderDeadline.
func parseDeadline(text string, now time.Time) (time.Time, bool) {
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if !(s > -1e9 && s < 1e9) {
			return time.Time{}, false
		}
		return now.Add(time.Duration(s * float64(time.Second))), true
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(d), true
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, err == nil
}

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

// spent is what a request that ended so counts for its tenant; below 0: that is not known.
func spent(o *relay.Outcome) float64 {
	switch {
	case o.Cache == spec.CacheHit || o.Cache == spec.CacheJoined: // no engine worked for it
		return 0
	case o.HasUsage || o.Estimated:
		return fair.Cost(o.Usage.Prompt, o.Usage.Cached, o.Usage.Completion)
	case o.Err != nil || o.Status >= 400:
		return 0
	}
	return -1
}
