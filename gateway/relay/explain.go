package relay

import (
	"encoding/json"
	"math"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
)

// HeaderTrace asks, with 1, how a request is served and why, and is the header of the answer to that.
const HeaderTrace = "X-LotaBots-Trace"

// An Explanation tells how a request was served, as JSON in a header, and of a stream in a comment before
// its last event. What is told of nodes and instances is for those alone who may see the topology.
type Explanation struct {
	Deployment string  `json:"deployment"`
	Version    uint64  `json:"version"`
	Attempts   int     `json:"attempts"`
	Resumes    int     `json:"resumes,omitempty"`
	Session    bool    `json:"session,omitempty"` // it is of one, which goes before seconds
	QueueMS    float64 `json:"queue_ms"`          // that it waited for places
	FirstMS    float64 `json:"first_ms"`          // until the first byte of the engine's answer; 0: none has come
	Prompt     int     `json:"prompt"`            // tokens: as reckoned, or as the engine tells
	Expected   int     `json:"expected"`          // of them, that the engine was expected to have read already
	Cached     *int    `json:"cached"`            // of them, that it had; null: it has not told
	*Placed            // nil: not for this caller
}

// Placed is where.
type Placed struct {
	Node       string    `json:"node"`
	Device     string    `json:"device"`
	Instance   string    `json:"instance"`
	Candidates []Weighed `json:"candidates"` // of the last choice, the best first
	Others     int       `json:"others"`     // instances beside those
}

// Weighed is one candidate.
type Weighed struct {
	Node     string  `json:"node"`
	Instance string  `json:"instance"`
	Region   string  `json:"region,omitempty"`
	Chosen   bool    `json:"chosen,omitempty"`
	Seconds  float64 `json:"seconds"` // expected until the first token, and a tenth of the others
	Cached   int     `json:"cached"`  // prompt tokens expected to be there
	Load     int     `json:"load"`    // requests
	Slots    int     `json:"slots"`
	Refused  string  `json:"refused,omitempty"` // why it was no choice
}

// explanation is how x has been served so far; tail is the end of its answer.
func (x *Exchange) explanation(tail []byte) []byte {
	e := Explanation{Deployment: x.Call.Deployment, Version: x.Call.Version, Attempts: x.out.Attempts, Resumes: x.resumes, Session: x.Query.Session != 0,
		QueueMS: ms(x.queued), FirstMS: ms(x.out.FirstByte), Prompt: x.Call.PromptTokens, Expected: x.out.Expected}
	if u, ok := openai.UsageOf(tail); ok {
		e.Prompt = u.Prompt
		if u.HasCached && !x.hides {
			e.Cached = &u.Cached
		}
	}
	if x.Topology && x.Query.Why != nil {
		e.Placed = placed(x.grant.Target, x.Query.Why)
	}
	raw, err := json.Marshal(e)
	if err != nil { // a number that JSON has not
		return []byte("{}")
	}
	return raw
}

func placed(at spec.Target, why *balance.Reasons) *Placed {
	p := &Placed{Node: string(at.Node), Device: string(at.Device), Instance: string(at.Instance), Candidates: []Weighed{}, Others: why.Others}
	for _, c := range why.Candidates {
		p.Candidates = append(p.Candidates, Weighed{Node: string(c.Node), Instance: string(c.Instance), Region: c.Region, Chosen: c.Chosen,
			Seconds: finite(c.Seconds), Cached: c.Cached, Load: c.Load, Slots: c.Slots, Refused: c.Refused})
	}
	return p
}

// finite is s to the millisecond.
func finite(s float64) float64 {
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return -1
	}
	return math.Round(1000*s) / 1000
}

func ms(d time.Duration) float64 { return math.Round(float64(d)/float64(time.Millisecond)*100) / 100 }

// traceComment is the explanation as a comment of a stream.
func (x *Exchange) traceComment() []byte {
	return append(append([]byte(": lotabots-trace "), x.explanation(x.tail)...), "\n\n"...)
}
