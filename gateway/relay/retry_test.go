package relay

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
)

const answer = `{"choices":[{"message":{"content":"hello"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}`

func TestWholeAnswer(t *testing.T) {
	b := newBench(t, "a")
	b.plays("a", says(200, answer))
	res, body := b.get(false)
	if res.StatusCode != 200 || body != answer || res.Header.Get("Content-Type") != "application/json" ||
		res.Header.Get(HeaderNode) != "a" || res.Header.Get(HeaderAttempts) != "1" {
		t.Errorf("%d %q, headers %v", res.StatusCode, body, res.Header)
	}
	o := b.outcome()
	if o.Err != nil || o.Gone || o.Status != 200 || o.Node != "a" || o.Attempts != 1 || o.FirstByte <= 0 || !o.HasUsage || o.Usage != (openai.Usage{Prompt: 3, Completion: 2}) {
		t.Errorf("outcome %+v", o)
	}
	if c := b.mu.opened[0]; c.Attempt != 1 || c.Version != 3 {
		t.Errorf("call %+v", c)
	}
}

func TestTopologyIsHidden(t *testing.T) {
	b := newBench(t, "a")
	b.plays("a", says(200, answer))
	if res, _ := b.get(false, "Hide", "1"); res.Header.Get(HeaderNode) != "" || res.Header.Get(HeaderAttempts) != "" {
		t.Errorf("headers %v", res.Header)
	}
}

// TestStatusIsTold: what the engine says of the request is told in the gateway's form.
func TestStatusIsTold(t *testing.T) {
	for _, stream := range []bool{false, true} {
		b := newBench(t, "a b")
		b.plays("a", says(400, `{"error":{"message":"bad","param":"messages.0.role","code":"invalid_value"}}`))
		res, body := b.get(stream)
		const want = `{"error":{"message":"bad","type":"invalid_request_error","param":"messages[0].role","code":"invalid_request","hint":"Correct the named field.",` +
			`"request_id":"r1","doc_url":"/docs#error-invalid_request","engine_code":"invalid_value"}}`
		if res.StatusCode != 400 || body != want || b.tried() != "a" {
			t.Errorf("%d %q, tried %s", res.StatusCode, body, b.tried())
		}
		if o := b.outcome(); o.Err == nil || o.Err.Code != spec.CodeInvalidRequest || o.Status != 400 {
			t.Errorf("outcome %+v", o)
		}
	}
}

// TestRetriesBeforeTheFirstByte: whatever the first node does, nothing of it
// has reached the client, so the next one serves.
func TestRetriesBeforeTheFirstByte(t *testing.T) {
	for name, p := range map[string]play{
		"busy":                    rejects(spec.RejectBusy),
		"draining":                rejects(spec.RejectDraining),
		"not loaded":              rejects(spec.RejectNotLoaded),
		"unhealthy":               rejects(spec.RejectUnhealthy),
		"region":                  rejects(spec.RejectRegion),
		"stale":                   rejects(spec.RejectStale),
		"connection refused":      {err: errConnect},
		"broke before its status": {err: errBroke},
		"a server's error":        {err: spec.Errorf(spec.CodeUpstream, "It failed.")},
		"status 500":              says(500, "oops"),
		"status 429":              says(429, "full"),
		"broke at once":           streams(errBroke),
		"broke inside an event":   streams("data: {\"cho", errBroke),
		"ended without an event":  streams(),
		"ended inside an event":   streams("data: {\"cho"),
	} {
		for _, stream := range []bool{false, true} {
			good, want := says(200, answer), answer
			if stream {
				want = piece("x") + done
				good = streams(want)
			} else if p.kind == eventStream {
				continue
			}
			b := newBench(t, "a b")
			b.plays("a", p)
			b.plays("b", good)
			res, body := b.get(stream)
			if res.StatusCode != 200 || body != want || b.tried() != "a b" {
				t.Errorf("%s, stream %v: %d %q, tried %s", name, stream, res.StatusCode, body, b.tried())
			}
			if res.Header.Get(HeaderNode) != "b" || res.Header.Get(HeaderAttempts) != "2" {
				t.Errorf("%s: headers %v", name, res.Header)
			}
			if o := b.outcome(); o.Err != nil || o.Node != "b" || o.Attempts != 2 {
				t.Errorf("%s: outcome %+v", name, o)
			}
			if b.mu.opened[0].Attempt != 1 || b.mu.opened[1].Attempt != 2 {
				t.Errorf("%s: attempts are not numbered: %+v", name, b.mu.opened)
			}
		}
	}
}

// TestFinalErrors are not retried, or not for ever, and told as what they are.
func TestFinalErrors(t *testing.T) {
	t.Parallel()
	five := "a b c d e"
	for _, c := range []struct {
		name   string
		nodes  string
		p      play
		code   spec.Code
		status int
		tried  int
	}{
		{"the request's own fault", five, play{err: spec.Errorf(spec.CodeContextLength, "Too long.")}, spec.CodeContextLength, 400, 1},
		{"a revoked key", five, rejects(spec.RejectRevoked), spec.CodeRevokedKey, 401, 1},
		{"nobody to be reached", five, play{err: errConnect}, spec.CodeUpstream, 502, 3},
		{"all break", five, play{err: errBroke}, spec.CodeStreamBroken, 502, 2},
		{"every engine dies of it", five, play{err: &spec.Error{Code: spec.CodeUpstream, Message: "It died.", Err: errBroke}}, spec.CodeUpstream, 502, 2},
		{"all fail", five, says(500, "oops"), spec.CodeUpstream, 502, 3},
		{"fewer than the tries", "a b", says(500, "oops"), spec.CodeUpstream, 502, 2},
		{"the only one is outside the region", "a", rejects(spec.RejectRegion), spec.CodeNotReady, 503, 1},
		{"all full", "a b", rejects(spec.RejectBusy), spec.CodeBusy, 429, 2},
		{"all drain", "a b", rejects(spec.RejectDraining), spec.CodeNotReady, 503, 2},
		{"nobody is there", "", play{}, spec.CodeNotReady, 503, 0},
	} {
		for _, stream := range []bool{false, true} {
			b := newBench(t, c.nodes)
			for _, n := range b.nodes {
				b.plays(spec.NodeID(n), c.p)
			}
			res, body := b.get(stream)
			tried := len(strings.Fields(b.tried()))
			if res.StatusCode != c.status || !strings.Contains(body, `"code":"`+string(c.code)+`"`) || tried != c.tried {
				t.Errorf("%s, stream %v: %d %s after %d attempts; want %d %s after %d", c.name, stream, res.StatusCode, body, tried, c.status, c.code, c.tried)
			}
			if o := b.outcome(); o.Err == nil || o.Err.Code != c.code || o.Attempts != c.tried {
				t.Errorf("%s: outcome %+v", c.name, o)
			}
		}
	}
}

// TestAnotherNodeFirst: a dead node has more instances than a request has tries.
func TestAnotherNodeFirst(t *testing.T) {
	b := newBench(t, "a b")
	dead := &wire.DeviceLoad{Device: "cpu/a", Seq: b.seq.Add(1)}
	for _, id := range []string{"1", "2", "3", "4"} {
		dead.Instances = append(dead.Instances, &wire.InstanceLoad{Instance: id, Deployment: "m", Version: 3, State: wire.InstanceState_INSTANCE_STATE_READY, Slots: 4, PrefillTps: 1000})
	}
	b.table.Observe(&wire.LoadDigest{Node: "a", Boot: 1, Devices: []*wire.DeviceLoad{dead}}, time.Now())
	b.plays("a", play{err: errConnect})
	b.plays("b", says(200, answer))
	if res, body := b.get(false); res.StatusCode != 200 || b.tried() != "a b" {
		t.Errorf("%d %s, tried %s", res.StatusCode, body, b.tried())
	}
}

// TestEnginesRefusal: the last 429 is told with what the engine says.
func TestEnginesRefusal(t *testing.T) {
	b := newBench(t, "a")
	b.plays("a", says(429, `{"error":"slots"}`))
	if res, body := b.get(false); res.StatusCode != 429 || !strings.Contains(body, "status 429: slots") {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	if o := b.outcome(); o.Status != 429 || o.Err == nil || o.Err.Code != spec.CodeBusy {
		t.Errorf("outcome %+v", o)
	}
}

// TestRefusalsAreBounded: an instance that says ready and refuses, again and
// again, must not keep a request for ever.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a")
	b.plays("a", rejects(spec.RejectNotLoaded))
	stop := make(chan struct{})
	told := make(chan struct{})
	go func() {
		defer close(told)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				b.tell()
			}
		}
	}()
	res, body := b.get(false)
	close(stop)
	<-told
	if res.StatusCode != 429 || !strings.Contains(body, "refused the request 16 times in turn") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	b.outcome()
}

func TestAnswerIsBounded(t *testing.T) {
	b := newBench(t, "a", func(c *Config) { c.MaxAnswer = 10_000 })
	b.plays("a", play{status: 200, kind: "application/json", pieces: []any{strings.Repeat("x", 1000)}, loopLast: true})
	if res, body := b.get(false); res.StatusCode != 502 || !strings.Contains(body, "larger than this gateway holds") {
		t.Errorf("%d %.200s", res.StatusCode, body)
	}
	b.outcome()
}

func TestPanicsAreOutcomes(t *testing.T) {
	for _, stream := range []bool{false, true} {
		b := newBench(t, "a")
		b.plays("a", play{panics: true})
		if res, _ := b.get(stream); res.StatusCode != 500 {
			t.Errorf("stream %v: %d", stream, res.StatusCode)
		}
		if o := b.outcome(); o.Err == nil || o.Err.Code != spec.CodeInternal {
			t.Errorf("stream %v: outcome %+v", stream, o)
		}
	}
}

// TestTheCauseIsForInsiders: what a device tells of its engine goes to those alone
// who may know the cluster's insides.
func TestTheCauseIsForInsiders(t *testing.T) {
	r := &balance.Refusal{RetryAfter: time.Second, Why: "/models/x.gguf is no GGUF", Err: spec.Errorf(spec.CodeNotReady, "It could not be loaded.")}
	for may, want := range map[bool]string{false: "It could not be loaded.", true: "It could not be loaded. Its device tells: /models/x.gguf is no GGUF"} {
		var got *balance.Refusal
		if x := (&Exchange{Topology: may}); !errors.As(x.explain(r), &got) || got.Err.Message != want || got.RetryAfter != time.Second {
			t.Errorf("topology %v: %+v", may, got.Err)
		}
	}
}

// TestAPoisonousRequest takes two engines along at most; what did not reach an engine
// does not count, so that those that die of other things are still passed over.
func TestAPoisonousRequest(t *testing.T) {
	t.Parallel()
	dies := play{err: &spec.Error{Code: spec.CodeUpstream, Message: "It died.", Err: errBroke}}
	for name, c := range map[string]struct {
		plays map[spec.NodeID]play
		tried string
		whole bool
	}{
		"poison":                   {map[spec.NodeID]play{"a": dies, "b": dies, "c": says(200, answer)}, "a b", false},
		"one died":                 {map[spec.NodeID]play{"a": dies, "b": says(200, answer)}, "a b", true},
		"one cannot be reached":    {map[spec.NodeID]play{"a": {err: errConnect}, "b": dies, "c": says(200, answer)}, "a b c", true},
		"one was being started":    {map[spec.NodeID]play{"a": dies, "b": rejects(spec.RejectUnhealthy), "c": says(200, answer)}, "a b c", true},
		"one gave a status of 500": {map[spec.NodeID]play{"a": says(500, "x"), "b": dies, "c": says(200, answer)}, "a b c", true},
	} {
		b := newBench(t, "a b c")
		for n, p := range c.plays {
			b.plays(n, p)
		}
		res, body := b.get(false)
		if whole := res.StatusCode == 200 && body == answer; whole != c.whole || b.tried() != c.tried {
			t.Errorf("%s: %d %s, tried %s", name, res.StatusCode, body, b.tried())
		}
	}
}

// TestAPoisonousRequestInAnOpenedStream: the same where the engine dies after its head.
func TestAPoisonousRequestInAnOpenedStream(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a b c")
	b.plays("a", streams(errBroke))
	b.plays("b", streams("data: {\"cho", errBroke))
	b.plays("c", streams(piece("x")+done))
	if res, _ := b.get(true); res.StatusCode != 502 || b.tried() != "a b" {
		t.Errorf("%d, tried %s", res.StatusCode, b.tried())
	}
}
