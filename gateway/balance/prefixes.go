package balance

import (
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/prefix"
)

// prefixBytes bounds what is kept of what instances hold, which is some 200,000 names.
const prefixBytes = 32 << 20

// hearLocked takes in which beginnings of prompts the node's instances hold.
func (t *Table) hearLocked(m *member, news []*wire.PrefixNews, now time.Time) {
	for _, n := range news {
		in := t.mu.instances[spec.InstanceID(n.GetInstance())]
		if in == nil || in.node != m {
			continue
		}
		t.mu.prefixes.Tell(&in.held, prefix.News{Epoch: n.GetEpoch(), Added: n.GetAdded(), Tokens: n.GetTokens(), Removed: n.GetRemoved()}, now)
	}
}

// expectLocked notes with q what of its prompt each instance is expected to hold. Instances of a deployment
// have one kind of engine: where one tells what it holds, the others will, and hold nothing yet.
func (t *Table) expectLocked(p *pool, q *Query, now time.Time) {
	if q.Prompt == nil || q.Prompt.Len() == 0 {
		return
	}
	t.mu.prefixes.Expect(&q.expects, q.Prompt, p.trust.factor(), now)
	if !q.expects.Guesses() || slices.ContainsFunc(p.list, func(in *Instance) bool { return in.held.Tells() }) {
		return
	}
	for _, in := range p.list {
		if in.State == wire.InstanceState_INSTANCE_STATE_READY {
			q.expects.Meet(&in.held, in.number, in.prefill())
		}
	}
}

// cached is how many of the request's prompt tokens the instance is expected to hold.
func (in *Instance) cached(q *Query) float64 {
	return min(q.expects.Cached(&in.held), float64(q.PromptTokens))
}

// uncached is how many it is expected to have to read.
func (in *Instance) uncached(q *Query) float64 { return float64(q.PromptTokens) - in.cached(q) }

// prefill is the speed to reckon with, in tokens per second.
func (in *Instance) prefill() float64 {
	if in.PrefillTPS > 0 {
		return in.PrefillTPS
	}
	return unknownPrefill
}

// A trust is how far a deployment's instances have been seen to hold what was guessed of them. Its zero
// value is full.
type trust struct{ lost float64 }

func (t *trust) factor() float64 { return 1 - t.lost }

const (
	trustStep = 0.05 // weight of one request
	trustMost = 0.95 // that is lost: the rest is left to find out by
)

// learn takes in how many tokens an engine held of so many that were guessed.
func (t *trust) learn(guessed, real float64) {
	if guessed <= 0 {
		return
	}
	t.lost = min(t.lost+trustStep*(1-min(real/guessed, 1)-t.lost), trustMost)
}

// Found takes in how many of the prompt's tokens the engine says that it held. The place stays taken, or
// has been given back.
func (g *Grant) Found(cached int) {
	if g.in == nil || !g.guessed || g.Held <= 0 {
		return
	}
	t := g.in.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.poolOf(g.in); p != nil {
		// What was guessed was scaled by the trust of then; a share of that is what is compared.
		p.trust.learn(float64(g.Held)/max(p.trust.factor(), 1-trustMost), float64(cached))
	}
}
