package gossip

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
)

// kill takes a member down as kill -9 does: its sockets are gone, nobody is told.
func kill(g *Gossip, p *testPort) {
	p.close()
	g.Shutdown()
}

// record keeps the events told to one subscriber.
type record struct {
	sync.Mutex
	events []Event
}

func (r *record) add(e Event) { r.Lock(); r.events = append(r.events, e); r.Unlock() }

func (r *record) text() string {
	r.Lock()
	defer r.Unlock()
	var out []string
	for _, e := range r.events {
		if e.Up {
			out = append(out, "+"+string(e.Member.ID))
		} else {
			out = append(out, "-"+string(e.Member.ID))
		}
	}
	return strings.Join(out, " ")
}

func TestMembersKnowEachOther(t *testing.T) {
	_, ports, all := three(t, nil)
	m := all[2].Members()[0]
	want := Member{ID: "a", Roles: []spec.Role{spec.RoleVoter, spec.RoleWorker}, Region: "eu-north", Zone: "rack-a",
		Build: "v0.1.0", Level: 1, API: "10.0.0.1:8080", Addr: ports[0].Addr()}
	if !m.equal(want) {
		t.Errorf("c sees %+v, want %+v", m, want)
	}
	if self := all[0].Members()[0]; !self.equal(want) {
		t.Errorf("a sees itself as %+v, want %+v", self, want)
	}
	if !all[0].Alive("a") || !all[0].Alive("c") || all[0].Alive("d") {
		t.Error("Alive: want a and c, and not d")
	}
}

// TestKilledMemberIsFoundSoon measures with the real timings. The promise on a
// LAN is some three seconds; the limit here allows for a busy machine.
func TestKilledMemberIsFoundSoon(t *testing.T) {
	t.Parallel()
	_, ports, all := three(t, nil)
	var r record
	all[0].Subscribe(r.add)
	eventually(t, 30*time.Second, "a is told of b and c", func() bool { s := r.text(); return s == "+b +c" || s == "+c +b" })
	at := time.Now()
	kill(all[2], ports[2])
	see(t, all[0], "a", "b")
	see(t, all[1], "a", "b")
	took := time.Since(at)
	t.Logf("seen after %v", took)
	if took > 20*time.Second {
		t.Errorf("a killed member was found after %v", took)
	}
	eventually(t, 30*time.Second, "a is told that c is down", func() bool { return strings.HasSuffix(r.text(), " -c") })
}

func TestLeavingIsSeenAtOnceAndComingBackToo(t *testing.T) {
	f, ports, all := three(t, func(c *memberlist.Config) { c.ProbeInterval = time.Hour }) // nobody would find its end
	if err := all[1].Leave(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	all[1].Shutdown()
	ports[1].close()
	see(t, all[0], "a", "c")
	see(t, all[2], "a", "c")
	if err := all[1].Leave(time.Second); err != nil {
		t.Errorf("leaving after the end: %v", err)
	}
	all[1].Shutdown() // does nothing

	again := start(t, config("b", listen(t, f), ports[2].Addr())) // at another address
	see(t, again, "a", "b", "c")
	see(t, all[0], "a", "b", "c")
	if m, _ := all[0].table.member("b"); m.Addr != again.config.Port.Addr() {
		t.Errorf("a sees b at %s, want %s", m.Addr, again.config.Port.Addr())
	}
}

// TestKilledMemberComesBackElsewhere is a restart with another port number,
// before the others have noticed the end.
func TestKilledMemberComesBackElsewhere(t *testing.T) {
	t.Parallel()
	f, ports, all := three(t, func(c *memberlist.Config) { quick(c); c.PushPullInterval = 300 * time.Millisecond })
	kill(all[1], ports[1])
	c := config("b", listen(t, f), ports[0].Addr())
	c.tune = func(c *memberlist.Config) { quick(c); c.PushPullInterval = 300 * time.Millisecond }
	again := start(t, c)
	for _, g := range []*Gossip{all[0], all[2]} {
		eventually(t, 30*time.Second, "b is seen at its new address", func() bool {
			m, ok := g.table.member("b")
			return ok && m.Addr == again.config.Port.Addr()
		})
	}
}

// TestPartitionLongerThanTheDeadTimeHeals: both sides have forgotten each other.
func TestPartitionLongerThanTheDeadTimeHeals(t *testing.T) {
	t.Parallel()
	f, ports, all := three(t, quick)
	f.cut(ports[0], ports[2], true)
	f.cut(ports[1], ports[2], true)
	see(t, all[0], "a", "b")
	see(t, all[2], "c")
	see(t, all[1], "a", "b")
	time.Sleep(3 * 200 * time.Millisecond) // thrice the time for which the dead are gossiped to
	f.cut(ports[0], ports[2], false)
	f.cut(ports[1], ports[2], false)
	for _, g := range all {
		see(t, g, "a", "b", "c")
	}
}

// TestRejoinIsWhatHeals shows that the test above can fail: without the loop the
// sides stay apart.
func TestRejoinIsWhatHeals(t *testing.T) {
	t.Parallel()
	f := newFabric()
	pa, pb := listen(t, f), listen(t, f)
	ca, cb := config("a", pa), config("b", pb, pa.Addr())
	ca.Rejoin, cb.Rejoin, ca.tune, cb.tune = time.Hour, time.Hour, quick, quick
	a, b := start(t, ca), start(t, cb)
	see(t, a, "a", "b")
	see(t, b, "a", "b")
	close(a.stop) // ends the loops only
	close(b.stop)
	a.wg.Wait()
	b.wg.Wait()
	f.cut(pa, pb, true)
	see(t, a, "a")
	see(t, b, "b")
	time.Sleep(time.Second) // five times the time for which the dead are gossiped to
	f.cut(pa, pb, false)
	time.Sleep(500 * time.Millisecond)
	if a.Alive("b") || b.Alive("a") {
		t.Error("memberlist healed a long partition by itself: the loop is not needed any more")
	}
	a.stop, b.stop = make(chan struct{}), make(chan struct{}) // Shutdown closes them
	<-a.digests.done
	<-b.digests.done
}

func TestPeersAreFoundAgainWithoutSeeds(t *testing.T) {
	f := newFabric()
	file := filepath.Join(t.TempDir(), "peers.json")
	pa, pb := listen(t, f), listen(t, f)
	cb := config("b", pb, pa.Addr())
	cb.PeersFile = file
	a, b := start(t, config("a", pa)), start(t, cb)
	see(t, a, "a", "b")
	eventually(t, 30*time.Second, "b has remembered a", func() bool {
		raw, _ := os.ReadFile(file)
		list, err := parsePeers(raw)
		return err == nil && slices.Equal(list, []peer{{"a", pa.Addr()}})
	})
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("peers' file: %v, %v", info.Mode(), err)
	}
	if err := b.Leave(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	b.Shutdown()
	cb.Seeds, cb.Port = nil, listen(t, f)
	see(t, start(t, cb), "a", "b")
}

func TestKnownAddressesAreTried(t *testing.T) {
	f := newFabric()
	pa := listen(t, f)
	start(t, config("a", pa))
	cb := config("b", listen(t, f))
	cb.Known = func() []string { return []string{"", "not an address", pa.Addr()} }
	see(t, start(t, cb), "a", "b")
}

func TestStartDoesNotNeedAnAnswer(t *testing.T) {
	f := newFabric()
	nobody := listen(t, f)
	nobody.close()
	file := filepath.Join(t.TempDir(), "peers.json")
	if err := os.WriteFile(file, []byte("{damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config("a", listen(t, f), nobody.Addr())
	c.PeersFile, c.Registerer = file, prometheus.NewRegistry()
	g := start(t, c)
	see(t, g, "a")
	eventually(t, 30*time.Second, "a has tried", func() bool { return counter(t, g.metrics.rejoins.WithLabelValues("failed")) > 1 })
	start(t, config("b", listen(t, f), g.config.Port.Addr()))
	see(t, g, "a", "b")
}

func TestStrangersAreIgnored(t *testing.T) {
	f := newFabric()
	pa := listen(t, f)
	a := start(t, config("a", pa))
	wrongKey := config("mallory", listen(t, f), pa.Addr())
	wrongKey.Key = bytes.Repeat([]byte{8}, keySize)
	wrongLabel := config("stray", listen(t, f), pa.Addr())
	wrongLabel.Label = "lb-other"
	m, s := start(t, wrongKey), start(t, wrongLabel)
	see(t, start(t, config("b", listen(t, f), pa.Addr())), "a", "b") // who has key and label gets in meanwhile
	eventually(t, 30*time.Second, "the strangers have tried twice", func() bool {
		return counter(t, m.metrics.rejoins.WithLabelValues("failed")) >= 2 && counter(t, s.metrics.rejoins.WithLabelValues("failed")) >= 2
	})
	if got := ids(a); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("a sees %v", got)
	}
}

func TestConfigIsChecked(t *testing.T) {
	port := listen(t, newFabric())
	for name, spoil := range map[string]func(*Config){
		"id":          func(c *Config) { c.ID = "Not Valid" },
		"port":        func(c *Config) { c.Port = nil },
		"short key":   func(c *Config) { c.Key = c.Key[:16] },
		"no key":      func(c *Config) { c.Key = nil },
		"long label":  func(c *Config) { c.Label = strings.Repeat("x", 300) },
		"long region": func(c *Config) { c.Region = strings.Repeat("x", 500) },
	} {
		c := config("a", port)
		spoil(&c)
		if g, err := Start(c); err == nil {
			g.Shutdown()
			t.Errorf("%s: started", name)
		}
	}
}

// TestFaultIsTold: the others hear what a member cannot do, and that it can again,
// and it stays a member.
func TestFaultIsTold(t *testing.T) {
	t.Parallel()
	_, _, all := three(t, nil)
	for _, f := range []Fault{DiskStalled, DiskFailed, Faultless} {
		if err := all[0].SetFault(f); err != nil {
			t.Fatal(err)
		}
		for _, g := range all {
			eventually(t, 30*time.Second, "everybody hears of it", func() bool { return g.Fault("a") == f })
			if !g.Alive("a") || g.Fault("b") != Faultless || g.Fault("nobody") != Faultless {
				t.Errorf("%q: a is dead, or another is said to have it", f)
			}
		}
	}
}
