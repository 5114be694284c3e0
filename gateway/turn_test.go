package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/gateway"
)

// held is a rig whose only place is taken until release is called.
func held(t *testing.T, change ...func(*gateway.Config)) (r *rig, release func()) {
	return heldBy(t, func(*http.Request) {}, change...)
}

// heldBy tells saw of each request that the engine gets once the first is released.
func heldBy(t *testing.T, saw func(*http.Request), change ...func(*gateway.Config)) (r *rig, release func()) {
	r = newRig(t, append(change, func(c *gateway.Config) { c.Balance.QueueTimeout = 20 * time.Second })...)
	let := make(chan struct{})
	var first sync.Once
	r.node("n1", "north", 1, func(w http.ResponseWriter, req *http.Request) {
		mine := false
		first.Do(func() { mine = true })
		if mine {
			<-let
		} else {
			saw(req)
		}
		_, _ = io.WriteString(w, `{"choices":[]}`)
	})
	go func() { // until the test ends: an instance that is not heard of counts as full
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-t.Context().Done():
				tick.Stop()
				return
			case <-tick.C:
				r.tell("n1", 1, 0)
			}
		}
	}()
	var wg sync.WaitGroup
	wg.Go(func() { r.do(r.infer, "POST", "/v1/chat/completions", chatBody) })
	eventually(t, "the place is taken", func() bool { return r.engines.count("n1") == 1 })
	release = sync.OnceFunc(func() { close(let) })
	t.Cleanup(func() { release(); wg.Wait() })
	return r, release
}

// TestPriorities: who asks for more than its key may has what it may; settings give more.
func TestPriorities(t *testing.T) {
	var vip, batch string
	var mu sync.Mutex
	var order []string // as the engine sees them: clients may notice their answers in another
	r, release := heldBy(t, func(req *http.Request) {
		var body struct{ User string }
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		mu.Lock()
		order = append(order, body.User)
		mu.Unlock()
	}, func(c *gateway.Config) {
		s := c.State.(*state)
		vip, batch = s.addKey("vip", "t1", 0, "infer"), s.addKey("bat", "t2", 0, "infer")
	})
	for name, value := range map[string]string{"priority/keys/vipxxxx": "normal..critical", "priority/tenants/t2": "low..normal", "priority/tenants/t1": "low"} {
		if res, body := r.do(r.admin, "PUT", "/admin/v1/settings/"+name, `{"value":"`+value+`"}`); res.StatusCode != 200 {
			t.Fatal(name, body)
		}
	}
	if res, _ := r.do(r.admin, "DELETE", "/admin/v1/settings/priority/tenants/t1", ""); res.StatusCode >= 300 {
		t.Fatal(res.Status)
	}
	var wg sync.WaitGroup
	ask := func(name, key, extra string, headers ...string) {
		was := r.g.Table().Waiting()
		wg.Go(func() {
			res, body := r.do(key, "POST", "/v1/chat/completions", strings.Replace(chatBody, "{", `{"user":"`+name+`",`+extra, 1), headers...)
			if res.StatusCode != 200 {
				t.Error(name, res.Status, body)
			}
		})
		eventually(t, name+" waits", func() bool { return r.g.Table().Waiting() == was+1 })
	}
	ask("low by its tenant", batch, "")
	ask("low by its field", r.infer, `"priority":5,`)
	ask("low by its tier", r.infer, `"service_tier":"flex",`)
	ask("normal, whatever it asks for", r.infer, `"priority":-9,`)
	ask("high by its tier", vip, `"service_tier":"priority",`)
	ask("critical by its header", vip, `"priority":3,`, "X-LotaBots-Priority", "critical")
	r.rank(t, `lotabots_gateway_waiting_requests{priority="low"} 3`, `lotabots_gateway_waiting_requests{priority="normal"} 1`,
		`lotabots_gateway_waiting_requests{priority="high"} 1`, `lotabots_gateway_waiting_requests{priority="critical"} 1`)
	release()
	wg.Wait()
	if want := "critical by its header, high by its tier, normal, whatever it asks for, low by its "; !strings.HasPrefix(strings.Join(order, ", "), want) {
		t.Errorf("answered: %v", order)
	}
	if res, _ := r.do(r.infer, "POST", "/v1/chat/completions", chatBody, "X-LotaBots-Priority", "urgent"); res.StatusCode != 400 {
		t.Errorf("a priority that is none: %s", res.Status)
	}
	if res, _ := r.do(r.admin, "PUT", "/admin/v1/settings/priority/keys/k", `{"value":"high..low"}`); res.StatusCode != 400 {
		t.Errorf("a setting that is none: %s", res.Status)
	}
}

// rank wants lines in the metrics.
func (r *rig) rank(t *testing.T, lines ...string) {
	t.Helper()
	_, metrics := r.do(r.admin, "GET", "/metrics", "")
	for _, line := range lines {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics are without %s", line)
		}
	}
}

// TestTheEngineSeesNoMoreThanIsAllowed: its priority is the client's, or what that may be.
func TestTheEngineSeesNoMoreThanIsAllowed(t *testing.T) {
	var got string
	r := newRig(t)
	r.node("n1", "north", 4, func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		got = string(b)
		_, _ = io.WriteString(w, `{"choices":[]}`)
	})
	for sent, want := range map[string]string{"7": "7", "0": "0", "-3": "0"} {
		r.do(r.infer, "POST", "/v1/chat/completions", strings.Replace(chatBody, "{", `{"priority":`+sent+`,`, 1))
		if !strings.Contains(strings.ReplaceAll(got, " ", ""), `"priority":`+want) {
			t.Errorf("of priority %s the engine got %s", sent, got)
		}
	}
	got = ""
	for _, sent := range []string{"-3.0", "-3e0", `"-3"`, "-99999999999999999999", "true"} {
		res, body := r.do(r.infer, "POST", "/v1/chat/completions", strings.Replace(chatBody, "{", `{"priority":`+sent+`,`, 1))
		if res.StatusCode != 400 || got != "" {
			t.Errorf("of priority %s the engine got %s: %d %s", sent, got, res.StatusCode, body)
		}
	}
}

func TestDeadlines(t *testing.T) {
	r, release := held(t)
	for deadline, want := range map[string]int{"soon": 400, "-1": 504, "2020-01-01T00:00:00Z": 504, "0.15": 504, "150ms": 504,
		time.Now().Add(time.Second).UTC().Format(time.RFC3339): 504} {
		began := time.Now()
		res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody, "X-LotaBots-Deadline", deadline)
		if res.StatusCode != want || time.Since(began) > 30*time.Second {
			t.Errorf("deadline %s: %s after %v: %s", deadline, res.Status, time.Since(began), body)
		}
	}
	_, metrics := r.do(r.admin, "GET", "/metrics", "")
	if !strings.Contains(metrics, `lotabots_gateway_deadline_misses_total{priority="normal"} `) {
		t.Error("deadlines that were missed are not counted")
	}
	release()
	eventually(t, "the place is free", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		res, err := r.send(ctx, r.infer, "POST", "/v1/chat/completions", chatBody, "X-LotaBots-Deadline", "20s", "X-Stainless-Timeout", "1")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == 200
	})
	if left := time.Until(r.engines.last().Deadline); left > 20*time.Second || left < 5*time.Second {
		t.Errorf("the engine's node was told that %v are left of 20 s", left)
	}
}

// TestRetryAfterIsToldToTheMillisecond, as OpenAI's clients read it.
func TestRetryAfterIsToldToTheMillisecond(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 1, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"choices":[]}`) })
	r.tell("n1", 1, 1)
	res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody)
	s, err := strconv.Atoi(res.Header.Get("Retry-After"))
	ms, err2 := strconv.Atoi(res.Header.Get("Retry-After-Ms"))
	if res.StatusCode != 429 || err != nil || err2 != nil || ms > 1000*s || ms <= 1000*(s-1) {
		t.Errorf("%s, %v: %s", res.Status, res.Header, body)
	}
	r.rank(t, `lotabots_gateway_shed_requests_total{cause="timeout",priority="normal"} 1`)
}
