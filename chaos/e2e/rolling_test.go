//go:build e2e

package e2e

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestRollingRestart: all three nodes are drained, restarted and awaited, one by
// one, under load; no request fails. The load asks the gateways whose /readyz
// answers 200, as a load balancer does.
func TestRollingRestart(t *testing.T) {
	c := startCluster(t, nil)
	b := startBalancer(c)
	defer b.close()
	l := c.startLoad(4, b.offer)
	time.Sleep(2 * time.Second)
	for _, n := range c.file.Nodes {
		begin := time.Now()
		c.run("node", "drain", n.ID)
		c.run("dev", "restart", n.ID)
		t.Logf("%s drained, restarted and ready in %v", n.ID, time.Since(begin).Round(10*time.Millisecond))
		time.Sleep(time.Second)
	}
	failed := 0
	outcomes := l.finish()
	for _, o := range outcomes {
		if o.err != nil {
			failed++
			t.Errorf("asked %s at %v: %v", o.gateway, o.began.Format("05.000"), o.err)
		}
	}
	t.Logf("%d requests, %d failed", len(outcomes), failed)
	if len(outcomes) < 50 {
		t.Errorf("only %d requests: the load proves nothing", len(outcomes))
	}
}

// A balancer knows which gateways are ready, from polling /readyz.
type balancer struct {
	mu    sync.Mutex
	ready map[int]bool
	quit  chan struct{}
	done  sync.WaitGroup
}

func startBalancer(c *cluster) *balancer {
	b := &balancer{ready: map[int]bool{}, quit: make(chan struct{})}
	probe := &http.Client{Timeout: 500 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	for i, n := range c.file.Nodes {
		b.done.Go(func() {
			for {
				answer, err := probe.Get(n.API + "/readyz")
				ok := err == nil && answer.StatusCode == http.StatusOK
				if err == nil {
					answer.Body.Close()
				}
				b.mu.Lock()
				b.ready[i] = ok
				b.mu.Unlock()
				select {
				case <-b.quit:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	return b
}

func (b *balancer) offer() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []int
	for i, ok := range b.ready {
		if ok {
			out = append(out, i)
		}
	}
	return out
}

func (b *balancer) close() {
	close(b.quit)
	b.done.Wait()
}
