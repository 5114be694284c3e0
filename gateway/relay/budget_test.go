package relay

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
)

// counted is the sum of a counter.
func counted(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestBudget(t *testing.T) {
	for _, c := range []struct{ requests, may int }{{0, 20}, {10, 21}, {100, 30}, {1000, 120}} {
		var b budget
		for range c.requests {
			b.request(3)
		}
		got := 0
		for b.take(5) {
			got++
		}
		if got != c.may {
			t.Errorf("%d attempts on top of %d requests, want %d", got, c.requests, c.may)
		}
		if b.take(5+budgetSlots-1) || !b.take(5+budgetSlots) {
			t.Error("what was spent comes back at another time than when the window has passed")
		}
	}
}

// TestBudgetProperties holds it against a list of all that was counted.
func TestBudgetProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b budget
		var requests, extra []int64
		within := func(list []int64, now int64) (n int) {
			for _, at := range list {
				if at > now-budgetSlots {
					n++
				}
			}
			return n
		}
		now := int64(0)
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				now += int64(rapid.IntRange(0, 2*budgetSlots).Draw(t, "seconds"))
			case 1, 2, 3, 4:
				b.request(now)
				requests = append(requests, now)
			default:
				want := float64(within(extra, now)+1) <= budgetFloor+budgetShare*float64(within(requests, now))
				if got := b.take(now); got != want {
					t.Fatalf("take at %d is %v after requests %v, extra %v", now, got, requests, extra)
				}
				if want {
					extra = append(extra, now)
				}
			}
		}
	})
}

func TestBudgetsAreForgotten(t *testing.T) {
	all := newBudgets()
	all.began = all.began.Add(-3 * budgetSlots * 1e9)
	for i := range 3 * manyBudgets {
		all.of("old-" + strconv.Itoa(i)) // nothing counted within the window
	}
	if n := len(all.mu.of); n > manyBudgets {
		t.Errorf("%d budgets are kept", n)
	}
}

// TestRetriesWithinTheBudget: engines that answer nothing but errors get no more than
// the budget on top of what clients send.
func TestRetriesWithinTheBudget(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := newBench(t, "a b c d e f", func(c *Config) { c.Registerer = reg })
	for _, n := range b.nodes {
		b.plays(spec.NodeID(n), says(429, "full")) // which opens no breaker
	}
	const requests = 40
	for range requests {
		if res, body := b.get(false); res.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, "status 429: full") {
			t.Fatalf("%d %q", res.StatusCode, body)
		}
	}
	b.mu.Lock()
	n := len(b.mu.opened)
	b.mu.Unlock()
	if most := requests + budgetFloor + requests/10; n > most || n < most-2 {
		t.Errorf("%d attempts for %d requests", n, requests)
	}
	if counted(t, reg, "lotabots_gateway_retries_refused_total") == 0 {
		t.Error("no refusal by the budget was counted")
	}
}
