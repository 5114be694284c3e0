package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/limit"
	"github.com/lotabots/lotabots/node/quotas"
)

// settings are what one run is of.
type settings struct {
	gateways, workers int
	steady            time.Duration // that is measured without a death
	kills             int
	between           time.Duration // deaths
	notice            time.Duration // after which a death is known
	asked             float64       // of the limit
}

// A meter counts what is used under one limit, beside what it allows. Tokens are as
// they were reserved until they are settled.
type meter struct {
	lim   *limit.Limit
	used  atomic.Int64
	began time.Time
}

// over is by how much more is used than has come since the limit was spent.
func (m *meter) over(now time.Time) float64 {
	return float64(m.used.Load()) - float64(m.lim.Amount)*now.Sub(m.began).Minutes()
}

// outcome is what a run has shown of one limit.
type outcome struct {
	off   float64 // part of the limit, in steady state
	over  float64 // units, at most, after deaths
	lease float64 // units of the largest lease then
}

// run measures limits on requests and on tokens.
func run(out io.Writer, s settings) (byUnit [2]outcome) {
	c := newCluster(s.workers, s.notice)
	defer c.close()
	rates := [2]*meter{
		{lim: &limit.Limit{ID: "key/k/rpm", Amount: uint64(perMinute["key/k/rpm"]), Unit: limit.Requests}},
		{lim: &limit.Limit{ID: "key/k/tpm", Amount: uint64(perMinute["key/k/tpm"]), Unit: limit.Tokens}},
	}
	for u, m := range rates {
		byUnit[u] = measure(out, c, s, m)
	}
	return byUnit
}

func measure(out io.Writer, c *cluster, s settings, m *meter) (o outcome) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ask := quotas.New(c.config("bench"))
	first := &wire.QuotaRequest{Limit: m.lim.ID, PerMinute: uint32(m.lim.Amount), Want: uint32(m.lim.Amount)}
	if _, err := ask.Lease(ctx, first); err != nil { // what had gathered is spent
		panic(err)
	}
	m.began = time.Now()
	var clients sync.WaitGroup
	for i := range s.gateways {
		l := limit.New(limit.Config{Leaser: quotas.New(c.config("gateway")), Gateways: func() int { return s.gateways }})
		l.Start()
		part := 0.5 / float64(s.gateways-1)
		if i == 0 {
			part = 0.5
		}
		clients.Go(func() {
			demand(ctx, l, m, part*s.asked)
			l.Close()
		})
	}
	time.Sleep(4 * time.Second) // until all have found their pace
	before, at := m.used.Load(), time.Now()
	time.Sleep(s.steady)
	allowed := float64(m.lim.Amount) * time.Since(at).Minutes()
	o.off = float64(m.used.Load()-before)/allowed - 1
	c.largest()
	for range s.kills {
		killed := c.owner(m.lim.ID)
		c.kill(killed)
		for end := time.Now().Add(s.between); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			o.over = max(o.over, m.over(time.Now()))
		}
		c.start(killed + "x")
	}
	o.lease = float64(c.largest())
	cancel()
	clients.Wait()
	fmt.Fprintf(out, "%s: a limit of %d a minute is %.2f %% off in steady state; over it by %.1f %s at most while its owner was killed %d times; the largest lease was of %.0f\n",
		m.lim.Unit, m.lim.Amount, 100*o.off, o.over, m.lim.Unit, s.kills, o.lease)
	return o
}

// demand asks for part of the limit through one gateway, in random gaps. A request of
// tokens reserves 250 on average and uses 80 to 110 % of that, a moment later.
func demand(ctx context.Context, l *limit.Limiter, m *meter, part float64) {
	size := 1.0
	if m.lim.Unit == limit.Tokens {
		size = 250
	}
	gap := float64(time.Minute) * size / (float64(m.lim.Amount) * part)
	var settling sync.WaitGroup
	defer settling.Wait()
	for next := time.Now(); ctx.Err() == nil; {
		next = next.Add(time.Duration(gap * rand.ExpFloat64()))
		time.Sleep(time.Until(next))
		n := uint64(1)
		if m.lim.Unit == limit.Tokens {
			n = 50 + rand.Uint64N(400)
		}
		d := l.Take(ctx, m.lim, n)
		if !d.OK {
			continue
		}
		m.used.Add(int64(n))
		if m.lim.Unit == limit.Tokens {
			settling.Go(func() {
				time.Sleep(50*time.Millisecond + rand.N(100*time.Millisecond))
				used := n * (80 + rand.Uint64N(31)) / 100
				m.used.Add(int64(used) - int64(n))
				l.Settle(m.lim, n, used, d.Period)
			})
		}
	}
}
