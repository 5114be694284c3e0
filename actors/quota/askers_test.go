package quota

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A client is a gateway as an owner sees it, whose messages come late or not at all.
type client struct {
	asker, seq, answered uint64
	held, owed, debt     uint64
	used                 uint64
	sent                 []*wire.QuotaRequest // and not come yet
}

func (c *client) request(want uint64, budget bool) *wire.QuotaRequest {
	c.seq++
	r := &wire.QuotaRequest{Limit: "l", Need: min(want, 1), Debt: c.debt, Asker: c.asker, Seq: c.seq, Answered: c.answered}
	if budget {
		r.Budget = &wire.BudgetAsk{Amount: 10_000, Period: 2, Want: want, GiveBack: c.owed}
	} else {
		r.PerMinute, r.Want, r.GiveBack = 10_000, uint32(want), uint32(c.owed)
	}
	return r
}

func (c *client) took(r *wire.QuotaRequest, g *wire.QuotaGrant) {
	c.answered, c.owed, c.debt = r.GetSeq(), 0, 0
	c.held += uint64(g.GetGranted()) + g.GetBudget().GetGranted()
}

// TestLostAnswersChangeNothing: whatever of requests and answers comes late, twice or never, the owner
// counts what gateways hold and have used, once all of them have been answered.
func TestLostAnswersChangeNothing(t *testing.T) {
	for _, budget := range []bool{false, true} {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { lossy(t, budget) })
		})
	}
}

func lossy(t *rapid.T, budget bool) {
	c := newClock()
	a := New(Config{Now: c.now})
	clients := []*client{{asker: 1}, {asker: 2}, {asker: 3}}
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		g := clients[rapid.IntRange(0, 2).Draw(t, "gateway")]
		spent := rapid.Uint64Range(0, g.held).Draw(t, "used")
		g.held, g.used = g.held-spent, g.used+spent
		if rapid.Bool().Draw(t, "gives back") {
			g.owed, g.held = g.owed+g.held, 0
		}
		more := rapid.Uint64Range(0, 50).Draw(t, "beyond")
		g.debt, g.used = g.debt+more, g.used+more
		r := g.request(rapid.Uint64Range(0, 200).Draw(t, "want"), budget)
		switch rapid.IntRange(0, 4).Draw(t, "fate") {
		case 0: // it does not come, or later
			g.sent = append(g.sent, r)
		case 1: // its answer does not
			a.answer(r)
		case 2: // it comes twice
			a.answer(r)
			g.took(r, a.answer(r))
		default:
			g.took(r, a.answer(r))
		}
		for _, late := range g.sent {
			if rapid.Bool().Draw(t, "comes late") {
				a.answer(late)
			}
		}
	}
	sum := uint64(0)
	for _, g := range clients {
		r := g.request(0, budget)
		g.took(r, a.answer(r))
		for _, late := range g.sent {
			a.answer(late)
		}
		sum += g.held + g.used
	}
	got := a.budget("l").spent()
	if !budget {
		got = 0
		if l := a.rates["l"]; l != nil {
			got = scaled(uint64(l.empty.Sub(c.at)), 10_000, uint64(full), true)
		}
	}
	if got > sum+60 || got < sum { // each of a rate's steps is rounded up by less than one
		t.Fatalf("the owner counts %d, and %d are held or used", got, sum)
	}
}

// TestUndoneLate: of what a rate's lost grant put in, what has leaked out is not taken out again.
func TestUndoneLate(t *testing.T) {
	c := newClock()
	a := New(Config{Now: c.now})
	ask := func(asker, seq uint64, want uint32, debt uint64) uint32 {
		return a.answer(&wire.QuotaRequest{Limit: "l", PerMinute: 60, Want: want, Debt: debt, Asker: asker, Seq: seq}).Granted
	}
	ask(1, 1, 60, 0) // no answer comes
	c.at = c.at.Add(time.Minute)
	if ask(2, 1, 60, 0) != 60 || ask(1, 2, 60, 0) != 0 {
		t.Error("what leaked out a minute ago is granted again")
	}
	ask(1, 3, 0, 600) // nor here: told again, it counts once
	c.at = c.at.Add(2 * time.Minute)
	ask(1, 4, 0, 600)
	if left := a.rates["l"].empty.Sub(c.at); left < 10*time.Minute || left > 12*time.Minute {
		t.Errorf("600 used beyond 60 a minute are leaked out in %v", left)
	}
}

func TestOldEffectsAreForgotten(t *testing.T) {
	c := newClock()
	a := New(Config{Now: c.now})
	for i := range sweepAfter {
		a.answer(&wire.QuotaRequest{Limit: "l", PerMinute: 60, Asker: uint64(i) + 1, Seq: 1})
	}
	c.at = c.at.Add(time.Hour)
	a.answer(&wire.QuotaRequest{Limit: "l", PerMinute: 60, Asker: 1, Seq: 2})
	a.answer(&wire.QuotaRequest{Limit: "l", PerMinute: 60, Asker: sweepAfter + 1, Seq: 2})
	if len(a.effects) > 2 {
		t.Errorf("%d effects are kept", len(a.effects))
	}
}
