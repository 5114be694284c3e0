package main

import (
	"container/list"
	"fmt"
	"io"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/prefix"
)

// How gateways know what engines hold of conversations.
const (
	nothingHeld = ""          // engines hold nothing
	unknown     = "unknown"   // nobody knows
	guessed     = "guessed"   // by a hash, and what engines say afterwards
	announced   = "announced" // with the load, up to a second late
)

// A talk is a conversation: the prompt of each turn begins with that of the one before.
type talk struct {
	id      uint64
	prompts []int // tokens
}

// names are what the gateway makes of the prompt of that turn.
func (t *talk) names(turn int) *prefix.Prompt {
	p := new(prefix.Prompt)
	for i, tokens := range t.prompts[:turn+1] {
		p.Add(t.name(i), tokens)
		if i == 0 {
			p.Opened()
		}
		if i < turn {
			p.Answered()
		}
	}
	return p
}

func (t *talk) name(turn int) uint64 { return t.id<<8 | uint64(turn) }

// cacheTokens is what one engine holds: less than all conversations under way would fill.
const cacheTokens = 100_000

// A cache is what an engine holds, of the talks that it served last.
type cache struct {
	talks  map[uint64]*list.Element
	order  *list.List // of held, the longest unused first
	tokens int
	news   wire.PrefixNews // since it was last told
}

type held struct {
	talk *talk
	turn int // the last whose prompt it holds
}

func newCache() *cache { return &cache{talks: map[uint64]*list.Element{}, order: list.New()} }

// of is how many tokens it holds of the request's prompt; nil holds none.
func (c *cache) of(r *request) int {
	if c == nil || r.talk == nil {
		return 0
	}
	e := c.talks[r.talk.id]
	if e == nil {
		return 0
	}
	c.order.MoveToBack(e)
	return r.talk.prompts[min(e.Value.(*held).turn, r.turn)]
}

// keep takes in what has been read.
func (c *cache) keep(r *request) {
	if c == nil || r.talk == nil {
		return
	}
	h, from := &held{r.talk, r.turn}, 0
	if e := c.talks[r.talk.id]; e != nil {
		was := e.Value.(*held)
		if was.turn >= r.turn {
			return
		}
		from = was.turn + 1
		c.tokens -= r.talk.prompts[was.turn]
		c.order.Remove(e)
	}
	c.talks[r.talk.id] = c.order.PushBack(h)
	c.tokens += r.talk.prompts[r.turn]
	for i := from; i <= r.turn; i++ {
		c.news.Added, c.news.Tokens = append(c.news.Added, r.talk.name(i)), append(c.news.Tokens, uint32(r.talk.prompts[i]))
	}
	for c.tokens > cacheTokens && c.order.Len() > 1 {
		old := c.order.Remove(c.order.Front()).(*held)
		delete(c.talks, old.talk.id)
		c.tokens -= old.talk.prompts[old.turn]
		for i := range old.turn + 1 {
			c.news.Removed = append(c.news.Removed, old.talk.name(i))
		}
	}
}

// tell returns what has changed since the last time. What came and went is told as gone, and what went and
// came as both, in this order.
func (c *cache) tell(id spec.InstanceID) *wire.PrefixNews {
	out := &wire.PrefixNews{Instance: string(id), Epoch: 1, Removed: c.news.Removed}
	for i, name := range c.news.Added {
		if e := c.talks[name>>8]; e != nil && uint64(e.Value.(*held).turn) >= name&0xff {
			out.Added, out.Tokens = append(out.Added, name), append(out.Tokens, c.news.Tokens[i])
		}
	}
	c.news = wire.PrefixNews{}
	return out
}

// hits is the part of all prompts' tokens that engines held, and the 99th percentile of the time to the first token.
func hits(s settings, caches string, gateways int) (part, p99 float64) {
	at(gateways, near, time.Second, 0.9, conversation)(&s)
	s.caches = caches
	for i := range s.seeds {
		seed := s.seed + uint64(i)
		trace := traceOf(s.trace, s.requests, s.gateways, s.load, speedOf(fleetOf(nil, s.gpus)), seed)
		production(s, trace, seed)
		cached, all := 0, 0
		for _, r := range trace[len(trace)/10:] {
			cached, all = cached+r.cached, all+r.prompt
		}
		part += float64(cached) / float64(all) / float64(s.seeds)
		p99 += percentile(trace[len(trace)/10:], 0.99) / float64(s.seeds)
	}
	return part, p99
}

// leastHits is how many of the hits of one gateway eight must have.
const leastHits = 0.95

// benchHits prints what conversations find cached.
func benchHits(out io.Writer, s settings) []string {
	fmt.Fprintf(out, "%d GPUs of %d tokens of cache, conversations, load 0.9: tokens found cached, p99 of the time to the first token\n", s.gpus, cacheTokens)
	var lines []string
	for _, how := range []string{unknown, guessed, announced} {
		one, first := hits(s, how, 1)
		eight, eighth := hits(s, how, 8)
		fmt.Fprintf(out, "  %-12s 1 gateway %.3f %.3f s, 8 gateways %.3f %.3f s\n", how, one, first, eight, eighth)
		if how == announced {
			missed := ""
			if eight < leastHits*one {
				missed = " (missed)"
			}
			lines = append(lines, fmt.Sprintf("figure: routing_prefix_hits_8_gateways_to_1 %.3f x goal >= %g%s", eight/one, leastHits, missed))
		}
	}
	return lines
}
