package gossip

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"
)

// seek looks for members that are not there, until stop is closed: at once, and
// then after every pause.
func (g *Gossip) seek() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-g.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	for ctx.Err() == nil {
		g.round(ctx)
		if !g.rest(ctx, time.Now(), 0.8+0.4*rand.Float64()) {
			return
		}
	}
}

// rest waits until the next round is due, which a loss in the meantime brings forward.
func (g *Gossip) rest(ctx context.Context, since time.Time, jitter float64) bool {
	for {
		count, lostFor, ever := g.table.others()
		pause := time.Duration(jitter * float64(pauseFor(count, lostFor, ever, g.config.Rejoin)))
		wait := pause - time.Since(since)
		if wait <= 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-g.nudge:
		case <-time.After(wait):
			return true
		}
	}
}

// pauseFor tells how long to wait between two rounds: little while nobody is
// there, and for a time after a loss, since most are short.
func pauseFor(others int, lostFor time.Duration, ever bool, usual time.Duration) time.Duration {
	switch {
	case others == 0:
		return min(lonelyPause, usual)
	case ever && lostFor < lostRecently:
		return min(lostPause, usual)
	}
	return usual
}

// round tries some of the addresses where a member may be that is not there.
func (g *Gossip) round(ctx context.Context) {
	self, _ := g.table.member(g.config.ID)
	there := map[string]bool{self.Addr: true, g.config.Port.Addr(): true}
	for _, m := range g.table.members() {
		there[m.Addr] = true
	}
	addrs := candidates(there, g.config.Seeds, g.peers.addrs(), g.config.Known())
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	if len(addrs) > maxTries {
		addrs = addrs[:maxTries]
	}
	var wg sync.WaitGroup
	places := make(chan struct{}, 4)
	for _, addr := range addrs {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			g.try(ctx, addr, there)
		})
	}
	wg.Wait()
}

// candidates lists the addresses of the sources, each once, but for those of there.
func candidates(there map[string]bool, sources ...[]string) []string {
	var out []string
	seen := map[string]bool{}
	for _, source := range sources {
		for _, addr := range source {
			if addr == "" || there[addr] || seen[addr] {
				continue
			}
			seen[addr] = true
			out = append(out, addr)
		}
	}
	return out
}

// try exchanges the whole list of members with whoever is at addr.
func (g *Gossip) try(ctx context.Context, addr string, there map[string]bool) {
	if ctx.Err() != nil {
		return
	}
	resolving, cancel := context.WithTimeout(ctx, resolveTimeout)
	found, err := resolve(resolving, addr)
	cancel()
	if err != nil {
		g.metrics.rejoins.WithLabelValues("failed").Inc()
		g.config.Log.Debug("a peer's address was not found", "addr", addr, "error", err)
		return
	}
	for _, a := range found {
		at := net.JoinHostPort(a.IP.String(), strconv.Itoa(a.Port))
		if there[at] {
			return // known under another name
		}
		if _, err = g.list.Join([]string{at}); err == nil {
			g.metrics.rejoins.WithLabelValues("ok").Inc()
			return
		}
		if ctx.Err() != nil {
			return
		}
		g.config.Log.Debug("a peer did not answer", "addr", addr, "error", err)
	}
	g.metrics.rejoins.WithLabelValues("failed").Inc()
}
