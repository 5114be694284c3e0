package usage

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/storage"
)

// TestFind: page by page each record that fits comes once, the last written first, and none that does not fit;
// what is written meanwhile does not move the pages.
func TestFind(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	rapid.Check(t, func(t *rapid.T) {
		l, db := c.openIn(t, storage.Memory(), nil)
		defer end(t, l, db)
		write := func(from, to int) {
			for i := from; i < to; i++ {
				r := request(fmt.Sprint("k", i%3))
				r.Request, r.AtMs = fmt.Sprint("r", i), day+int64(i)*1000
				r.Outcome = []string{spec.UsageOK, spec.UsageFailed}[i%2]
				try(t, l.Settle(r))
			}
		}
		n := rapid.IntRange(0, 30).Draw(t, "records")
		write(0, n)
		q := Query{Limit: rapid.IntRange(1, 7).Draw(t, "limit")}
		var want []string
		key, outcome := rapid.Bool().Draw(t, "of a key"), rapid.Bool().Draw(t, "of an outcome")
		from, to := rapid.IntRange(0, 30).Draw(t, "from"), rapid.IntRange(0, 30).Draw(t, "to")
		q.FromMS = day + int64(from)*1000
		if to > from {
			q.ToMS = day + int64(to)*1000
		}
		if key {
			q.Key = "k1"
		}
		if outcome {
			q.Outcome = spec.UsageFailed
		}
		for i := n - 1; i >= from; i-- {
			if (to <= from || i < to) && (!key || i%3 == 1) && (!outcome || i%2 == 1) {
				want = append(want, fmt.Sprint("r", i))
			}
		}
		var got []string
		for {
			found, next, err := l.Find(context.Background(), q)
			try(t, err)
			if len(found) > q.Limit {
				t.Fatalf("%d of %d", len(found), q.Limit)
			}
			for _, f := range found {
				got = append(got, f.Record.GetRequest())
			}
			if next == 0 {
				break
			}
			q.Before = next
			write(n, n+1)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

// TestFindOne finds a request by its id, and by nothing that looks like it.
func TestFindOne(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	l, db := c.openIn(t, storage.Memory(), nil)
	defer end(t, l, db)
	for _, key := range []string{"a", "aa", "b"} {
		try(t, l.Settle(request(key)))
	}
	for id, want := range map[string]int{"req-a": 1, "req-aa": 1, "req-": 0, "acme": 0} {
		if found, next, err := l.Find(t.Context(), Query{RecordFilter: spec.RecordFilter{Request: id}, Limit: 10}); err != nil || len(found) != want || next != 0 {
			t.Errorf("%s: %d, %v", id, len(found), err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, next, err := l.Find(ended, Query{RecordFilter: spec.RecordFilter{Request: "x"}, Limit: 1}); err != nil || next != 0 {
		t.Errorf("so few are looked at whatever happens: %d %v", next, err)
	}
}

// TestFindLooksBackNoFurther: a search for a text in records since a moment does not look at all before it.
func TestFindLooksBackNoFurther(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	reg := prometheus.NewPedanticRegistry()
	l, db := c.openIn(t, storage.Memory(), func(cfg *Config) { cfg.Registerer = reg })
	defer end(t, l, db)
	const old, recent = 20 * findAnyway, 10
	for i := range old + recent {
		r := request("k")
		r.AtMs = day + int64(i)
		if i >= old {
			r.AtMs += 10 * clockSlackMS
		}
		l.Note(r)
	}
	last := request("k")
	last.AtMs = day + 11*clockSlackMS
	try(t, l.Settle(last))
	for _, filter := range []spec.RecordFilter{{Key: "nobody's"}, {Tenant: "acme", Code: "none"}, {Key: "k", Request: "req-k"}} {
		before := looked(t, reg)
		filter.FromMS = day + 10*clockSlackMS
		q := Query{RecordFilter: filter, Limit: 2 * recent}
		found, next, err := l.Find(t.Context(), q)
		try(t, err)
		if n := looked(t, reg) - before; n > recent+1+2*findAnyway || next != 0 {
			t.Errorf("%+v: %d were looked at, of which %d are not too old; next %d", q, int(n), recent, next)
		}
		if q.Request != "" && len(found) != recent+1 {
			t.Errorf("%+v: %d were found", q, len(found))
		}
	}
}

func looked(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()
	all, err := reg.Gather()
	try(t, err)
	for _, f := range all {
		if f.GetName() == "lotabots_usage_looked_at_records_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("there is no such metric")
	return 0
}
