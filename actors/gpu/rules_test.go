package gpu

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestTableHoldsItsRules drives the table at random.
func TestTableHoldsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := newTestTable()
		running := map[*inst]bool{} // actors
		stopped := map[*inst]bool{} // told to stop
		var lease Lease
		held := map[Lease]bool{}
		now := time.Unix(1_700_000_000, 0)
		begin := func(started ...*inst) {
			for _, in := range started {
				if in == nil {
					continue
				}
				if running[in] {
					t.Fatalf("%s was started twice", in.id)
				}
				running[in] = true
			}
		}
		end := func(in *inst) {
			if in == nil {
				return
			}
			if !running[in] || stopped[in] {
				t.Fatalf("%s was stopped: running %v, stopped before %v", in.id, running[in], stopped[in])
			}
			stopped[in] = true
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{1, 1, 1, 30}).Draw(t, "seconds")) * time.Second)
			id := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id")
			epoch := rapid.Uint64Range(1, 5).Draw(t, "epoch")
			in := tab.instances[spec.InstanceID(id)]
			switch rapid.SampledFrom([]string{"add", "remove", "admit", "release", "change", "ended"}).Draw(t, "step") {
			case "add":
				m := model(id, epoch, rapid.Uint64Range(0, 700).Draw(t, "memory"))
				m.OnDemand, m.KeepAliveMs = rapid.Bool().Draw(t, "on demand"), rapid.SampledFrom([]int64{-1, 0, 5000}).Draw(t, "keep-alive")
				do, _ := tab.add(m, fine)
				begin(do.start)
			case "remove":
				do, _ := tab.remove(&wire.UnloadModel{Instance: id, Epoch: epoch, Drain: rapid.Bool().Draw(t, "drain")})
				end(do.stop)
			case "admit":
				lease++
				if e, got, r := tab.admit(ask(lease, id), now); r == nil {
					held[lease] = true
					if e == nil || got.leases > got.slots {
						t.Fatalf("%d leases in %d slots", got.leases, got.slots)
					}
				}
			case "release":
				for l := range held {
					delete(held, l)
					if got, stop := tab.release(&Release{Lease: l}, now); stop {
						end(got)
					}
					break
				}
			case "change":
				if in != nil && running[in] {
					s := rapid.SampledFrom([]wire.InstanceState{isReady, failed, restarting}).Draw(t, "state")
					if s == isReady {
						end(tab.becomes(in, s, stub{slots: 2}))
					} else {
						end(tab.becomes(in, s, nil))
					}
				}
			case "ended":
				if in != nil && stopped[in] {
					delete(running, in)
					delete(stopped, in)
					tab.ended(in)
				}
			}
			start, evicted := tab.arrange(now)
			begin(start...)
			for _, v := range evicted {
				if v.inst.leases > 0 || !v.inst.load.OnDemand {
					t.Fatalf("%s was unloaded with %d leases", v.inst.id, v.inst.leases)
				}
				end(v.inst)
			}
			checkTable(t, tab, held, running)
		}
	})
}

func checkTable(t *rapid.T, tab *table, held map[Lease]bool, running map[*inst]bool) {
	if all, leaving := tab.reserved(); all > tab.device.MemoryTotal || leaving > all {
		t.Fatalf("%d bytes reserved, %d of them leaving, of %d", all, leaving, tab.device.MemoryTotal)
	}
	if len(tab.leases) != len(held) {
		t.Fatalf("%d leases, want %d", len(tab.leases), len(held))
	}
	for _, in := range tab.instances {
		if in.leases < 0 || in.unread < 0 || in.unread != 100*in.leases {
			t.Fatalf("%s has %d leases and %d unread tokens", in.id, in.leases, in.unread)
		}
		if idle := in.state == cold || in.waiting || in.unstarted; !in.sleeping && idle == running[in] || in.sleeping && !running[in] {
			t.Fatalf("%s is %s, waits: %v, sleeps: %v, runs: %v", in.id, in.state, in.waiting, in.sleeping, running[in])
		}
	}
	if !fitting(Parts(tab.snapshot(traceEpoch))) {
		t.Fatal("a digest that does not fit")
	}
}
