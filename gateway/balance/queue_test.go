package balance

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/fair"
)

// A run of requests that each hold the only place for a second, in the order in which
// they get it.
type run struct {
	f  *field
	wg sync.WaitGroup
	mu struct {
		sync.Mutex
		order   []string
		refused []string
	}
}

// ask has another request come.
func (r *run) ask(t *testing.T, name string, q *Query) {
	r.wg.Go(func() { r.hold(t, name, q) })
	synctest.Wait()
	time.Sleep(time.Microsecond) // the next comes later
}

func (r *run) hold(t *testing.T, name string, q *Query) {
	g, err := r.f.Acquire(t.Context(), q)
	r.mu.Lock()
	if err != nil {
		r.mu.refused = append(r.mu.refused, name)
	} else {
		r.mu.order = append(r.mu.order, name)
	}
	r.mu.Unlock()
	if err != nil {
		refusal(t, err, spec.CodeBusy)
		return
	}
	time.Sleep(time.Second)
	g.Release()
}

func of(tenant string, p fair.Priority) func(*Query) {
	return func(q *Query) { q.Tenant, q.Priority = tenant, p }
}

// begin makes a table with one instance of one slot, which tells of itself now and then.
func (r *run) begin(c Config) {
	c.DigestInterval = time.Hour
	r.f = newField(c)
	r.f.tell("a", "north", 1, 0)
}

func TestPriorityThenTenantThenAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &run{}
		r.begin(Config{QueueTimeout: time.Minute})
		r.ask(t, "first", ask(of("flood", 0)))
		for _, name := range []string{"f1", "f2", "f3"} {
			r.ask(t, name, ask(of("flood", fair.Normal)))
		}
		r.ask(t, "calm", ask(of("calm", fair.Normal)))
		r.ask(t, "low", ask(of("calm", fair.Low)))
		r.ask(t, "urgent", ask(of("flood", fair.Critical)))
		if q := r.f.Queueing(); q.Waiting != [fair.Bands]int{1, 4, 0, 1} {
			t.Errorf("%v wait", q.Waiting)
		}
		r.wg.Wait()
		if want := []string{"first", "urgent", "f1", "calm", "f2", "f3", "low"}; !slices.Equal(r.mu.order, want) {
			t.Errorf("served %v, want %v", r.mu.order, want)
		}
	})
}

// TestTheLowestMakesRoom: where as many wait as may, who would be served last is refused.
func TestTheLowestMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &run{}
		r.begin(Config{QueueTimeout: time.Minute, QueueLength: 3})
		r.ask(t, "first", ask(of("flood", fair.Normal)))
		for _, name := range []string{"f1", "f2", "f3"} {
			r.ask(t, name, ask(of("flood", fair.Normal)))
		}
		r.ask(t, "calm", ask(of("calm", fair.Normal)))   // f3 goes
		r.ask(t, "low", ask(of("calm", fair.Low)))       // goes itself
		r.ask(t, "urgent", ask(of("flood", fair.High)))  // f2 goes
		r.ask(t, "f4", ask(of("flood", fair.Normal)))    // goes itself
		r.ask(t, "urgent2", ask(of("flood", fair.High))) // f1 or calm goes
		if q := r.f.Queueing(); q.Shed[fair.Normal.Band()]["bound"] != 4 || q.Shed[fair.Low.Band()]["bound"] != 1 {
			t.Errorf("shed %v", q.Shed)
		}
		r.wg.Wait()
		if want := []string{"f3", "low", "f2", "f4", "calm"}; !slices.Equal(r.mu.refused, want) {
			t.Errorf("refused %v, want %v", r.mu.refused, want)
		}
		if want := []string{"first", "urgent", "urgent2", "f1"}; !slices.Equal(r.mu.order, want) {
			t.Errorf("served %v, want %v", r.mu.order, want)
		}
		if r.f.Waiting() != 0 {
			t.Errorf("%d wait", r.f.Waiting())
		}
	})
}

// TestWhoWouldWaitTooLongIsToldAtOnce, with a Retry-After of about as long as it would.
func TestWhoWouldWaitTooLongIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &run{}
		r.begin(Config{QueueTimeout: 8 * time.Second})
		for range 20 { // one a second
			r.ask(t, "it", ask(of("flood", fair.Normal)))
		}
		time.Sleep(5 * time.Second)
		began := time.Now()
		_, err := r.f.Acquire(t.Context(), ask(of("flood", fair.Normal)))
		if told := refusal(t, err, spec.CodeBusy); time.Since(began) != 0 || told.RetryAfter < 10*time.Second || told.RetryAfter > 20*time.Second {
			t.Errorf("told after %v to come again in %v, where 14 wait for a second each", time.Since(began), told.RetryAfter)
		}
		hurried := ask(of("flood", fair.High), func(q *Query) { q.Deadline = time.Now().Add(3 * time.Second) })
		if g, err := r.f.Acquire(t.Context(), hurried); err != nil {
			t.Errorf("who goes before all others was refused: %v", err)
		} else {
			g.Release()
		}
		hurried.Priority, hurried.Deadline = fair.Normal, time.Now().Add(3*time.Second)
		began = time.Now()
		_, err = r.f.Acquire(t.Context(), hurried)
		if refusal(t, err, spec.CodeBusy); time.Since(began) != 0 {
			t.Errorf("who would miss its deadline was told after %v", time.Since(began))
		}
		shed := r.f.Queueing().Shed[fair.Normal.Band()]
		if shed["wait"] != 1 || shed["deadline"] != 1 {
			t.Errorf("shed %v", shed)
		}
		r.wg.Wait()
	})
}

// TestWhatWasReallyTakenCounts: a tenant whose answers were far longer than expected has
// had its part.
func TestWhatWasReallyTakenCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &run{}
		r.begin(Config{QueueTimeout: time.Minute})
		long := ask(of("long", fair.Normal))
		held := r.f.must(t, ask())
		r.wg.Go(func() {
			g := r.f.must(t, long)
			time.Sleep(time.Second)
			r.f.Settle(long, 4*long.cost()+1)
			g.Release()
		})
		synctest.Wait()
		for _, name := range []string{"l1", "l2", "l3"} {
			r.ask(t, name, ask(of("long", fair.Normal)))
		}
		for _, name := range []string{"s1", "s2", "s3", "s4", "s5"} {
			r.ask(t, name, ask(of("short", fair.Normal)))
		}
		held.Release()
		r.wg.Wait()
		if want := []string{"s1", "s2", "s3", "s4", "s5", "l1", "l2", "l3"}; !slices.Equal(r.mu.order, want) {
			t.Errorf("served %v, want %v", r.mu.order, want)
		}
	})
}

func TestARequestThatComesBackHasItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &run{}
		r.begin(Config{QueueTimeout: time.Minute})
		held := r.f.must(t, ask())
		back := ask(of("x", fair.Normal))
		r.wg.Go(func() {
			g := r.f.must(t, back)
			g.Rejected(&spec.Rejection{Reason: spec.RejectBusy})
			r.hold(t, "back", back)
		})
		synctest.Wait()
		time.Sleep(time.Microsecond)
		r.ask(t, "later", ask(of("x", fair.Normal)))
		held.Release()
		synctest.Wait()
		r.f.tell("a", "north", 1, 0)
		r.wg.Wait()
		if want := []string{"back", "later"}; !slices.Equal(r.mu.order, want) {
			t.Errorf("served %v, want %v", r.mu.order, want)
		}
	})
}
