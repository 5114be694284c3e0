package relay

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/balance"
)

// other gives a node an instance of the deployment as well.
func (b *bench) other(node, deployment string, state wire.InstanceState) {
	b.table.PutMember(balance.Member{Node: spec.NodeID(node), Region: "north"})
	b.table.Observe(&wire.LoadDigest{Node: node, Boot: 1, Devices: []*wire.DeviceLoad{{Device: "cpu/" + node, Seq: b.seq.Add(1), Instances: []*wire.InstanceLoad{{
		Instance: "i-" + node, Deployment: deployment, Version: 7, State: state, Slots: 4}}}}}, time.Now())
}

func (b *bench) fallsTo(names ...string) {
	b.prepare = func(x *Exchange) {
		x.Fallback = func(n int) (Alternative, bool) {
			if n >= len(names) {
				return Alternative{}, false
			}
			return Alternative{Name: names[n], Body: []byte(`{"model":"` + names[n] + `"}`),
				Query: balance.Query{Deployment: names[n], Version: 7, Region: "north", PromptTokens: 10}}, true
		}
	}
}

// TestFallback: whatever the first deployment fails by before its first byte, the next
// one serves, and its name is told.
func TestFallback(t *testing.T) {
	for name, p := range map[string]play{
		"refused":             rejects(spec.RejectUnhealthy),
		"not to be reached":   {err: errConnect},
		"broke at once":       {err: errBroke},
		"a server's error":    says(500, "oops"),
		"too many":            says(429, "full"),
		"an error of its own": {err: spec.Errorf(spec.CodeUpstream, "It failed.")},
	} {
		for _, stream := range []bool{false, true} {
			b := newBench(t, "a")
			b.plays("a", p)
			b.other("z", "second", wire.InstanceState_INSTANCE_STATE_READY)
			good, want := says(200, answer), answer
			if stream {
				want = piece("x") + done
				good = streams(want)
			}
			b.plays("z", good)
			b.fallsTo("none", "second")
			res, body := b.get(stream)
			if res.StatusCode != 200 || body != want || res.Header.Get(HeaderDeployment) != "second" {
				t.Errorf("%s, stream %v: %d %q %v", name, stream, res.StatusCode, body, res.Header)
			}
			b.mu.Lock()
			last := b.mu.opened[len(b.mu.opened)-1]
			b.mu.Unlock()
			if last.Deployment != "second" || last.Version != 7 || b.bodyOf("z") != `{"model":"second"}` {
				t.Errorf("%s: call %+v with %s", name, last, b.bodyOf("z"))
			}
			if o := b.outcome(); o.Err != nil || o.Node != "z" {
				t.Errorf("%s: outcome %+v", name, o)
			}
		}
	}
}

func TestNoFallback(t *testing.T) {
	for name, p := range map[string]play{
		"the request's own fault": {err: spec.Errorf(spec.CodeContextLength, "Too long.")},
		"a revoked key":           rejects(spec.RejectRevoked),
		"the engine's 400":        says(400, "no"),
		"an answer":               says(200, answer),
	} {
		b := newBench(t, "a")
		b.plays("a", p)
		b.other("z", "second", wire.InstanceState_INSTANCE_STATE_READY)
		b.plays("z", says(200, answer))
		b.fallsTo("second")
		if res, _ := b.get(false); res.Header.Get(HeaderDeployment) != "" || b.tried() != "a" {
			t.Errorf("%s: tried %s, %v", name, b.tried(), res.Header)
		}
	}
}

// TestFallbackAtOnce: who is not ready is not waited for while another may serve.
func TestFallbackAtOnce(t *testing.T) {
	b := newBench(t, "a")
	b.tellState(wire.InstanceState_INSTANCE_STATE_LOADING)
	b.other("z", "second", wire.InstanceState_INSTANCE_STATE_READY)
	b.plays("z", says(200, answer))
	b.fallsTo("second")
	began := time.Now()
	if res, _ := b.get(false); res.StatusCode != 200 || time.Since(began) > 30*time.Second {
		t.Errorf("%d after %v", res.StatusCode, time.Since(began))
	}
}

// TestNobodyServes: the error is the first deployment's, and it is waited for as ever
// where it was not ready.
func TestNobodyServes(t *testing.T) {
	b := newBench(t, "a")
	b.plays("a", says(503, "first"))
	b.other("z", "second", wire.InstanceState_INSTANCE_STATE_READY)
	b.plays("z", says(500, "second"))
	b.fallsTo("second")
	if res, body := b.get(false); res.StatusCode != http.StatusBadGateway || !strings.Contains(body, "503: first") || b.tried() != "a z" {
		t.Errorf("%d %s, tried %s", res.StatusCode, body, b.tried())
	}

	b = newBench(t, "a")
	b.tellState(wire.InstanceState_INSTANCE_STATE_LOADING)
	b.table.SetQueueTimeout(time.Minute)
	b.other("z", "second", wire.InstanceState_INSTANCE_STATE_READY)
	b.fallsTo("second")
	b.compose = func(n spec.NodeID, _ spec.Call) play {
		if n == "a" {
			return says(200, answer)
		}
		time.AfterFunc(50*time.Millisecond, b.tell)
		return play{err: errConnect}
	}
	if res, body := b.get(false); res.StatusCode != 200 || body != answer || res.Header.Get(HeaderDeployment) != "" {
		t.Errorf("%d %s, %v", res.StatusCode, body, res.Header)
	}
}

// TestFallbackIsToldInTheStream where the headers have gone.
func TestFallbackIsToldInTheStream(t *testing.T) {
	b := newBench(t, "a", func(c *Config) { c.PingAfter = 20 * time.Millisecond })
	b.plays("a", streams(100*time.Millisecond, errBroke))
	b.other("z", "second", wire.InstanceState_INSTANCE_STATE_READY)
	b.plays("z", streams(piece("x")+done))
	b.fallsTo("second")
	if _, body := b.get(true); !strings.HasPrefix(body, ": ping") || !strings.Contains(body, " deployment=second\n\n") || !strings.HasSuffix(body, piece("x")+done) {
		t.Errorf("%q", body)
	}
}
