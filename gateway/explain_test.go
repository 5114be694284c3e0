package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/prefix"
	"github.com/lotabots/lotabots/gateway/relay"
)

const traced = "X-LotaBots-Trace"

// longBody is a conversation whose first turns have so many tokens.
func longBody(stream bool) string {
	raw, _ := json.Marshal(map[string]any{"model": "m", "stream": stream, "messages": []map[string]string{
		{"role": "system", "content": strings.Repeat("Be brief. ", 400)}, {"role": "user", "content": "one"},
		{"role": "assistant", "content": "two"}, {"role": "user", "content": "three"}}})
	return string(raw)
}

// holds has the node's instance announce the tenant's conversation up to the assistant's turn, as 900 tokens.
func (r *rig) holds(id, tenant string) {
	r.t.Helper()
	var check openai.Request
	var p prefix.Prompt
	body := []byte(longBody(false))
	if err := check.Check(openai.Chat, body); err != nil {
		r.t.Fatal(err)
	}
	check.Names(body, spec.CacheSalt(tenant), &p)
	r.g.Table().Observe(&wire.LoadDigest{Node: id, Boot: r.boot, Prefixes: []*wire.PrefixNews{{Instance: "i-" + id, Epoch: 1, Added: p.Names()[2:3], Tokens: []uint32{900}}}}, time.Now())
}

// cached answers with a usage that tells of 890 cached tokens.
func cached(w http.ResponseWriter, req *http.Request) {
	raw, _ := io.ReadAll(req.Body)
	const usage = `"usage":{"prompt_tokens":1000,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":890}}`
	if !strings.Contains(string(raw), `"stream":true`) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],`+usage+`}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	event(w, "x")
	fmt.Fprintf(w, "%sdata: {\"choices\":[],%s}\n\ndata: [DONE]\n\n", ends, usage)
}

func explained(t *testing.T, text string) (e relay.Explanation) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return e
}

func TestRequestsAreExplained(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, cached)
	r.node("n2", "north", 4, cached)
	r.holds("n2", "t1")
	for _, stream := range []bool{false, true} {
		res, body := r.do(r.admin, "POST", "/v1/chat/completions", longBody(stream), traced, "1")
		text := res.Header.Get(traced)
		head := explained(t, text)
		last := head
		if stream {
			at := strings.Index(body, ": lotabots-trace ")
			if at < 0 || strings.Index(body, "data: [DONE]") < at {
				t.Fatalf("no trace before the end of %q", body)
			}
			line, _, _ := strings.Cut(body[at:], "\n")
			last = explained(t, strings.TrimPrefix(line, ": lotabots-trace "))
		}
		if last.Cached == nil || *last.Cached != 890 || last.Prompt != 1000 || last.Expected != 900 || last.Attempts != 1 || last.Deployment != "m" {
			t.Errorf("stream %t: %+v", stream, last)
		}
		if last.Placed == nil || last.Instance != "i-n2" || last.Node != "n2" || last.Device != "cpu/n2" || len(last.Candidates) != 2 {
			t.Fatalf("stream %t: %+v", stream, last.Placed)
		}
		best, other := last.Candidates[0], last.Candidates[1]
		if !best.Chosen || best.Cached < 900 || other.Chosen || other.Cached != 0 || other.Seconds-best.Seconds < 0.9 {
			t.Errorf("stream %t: %+v", stream, last.Candidates)
		}
		if head.Expected != 900 {
			t.Errorf("the header tells %s", text)
		}
	}
	for name, want := range map[string]float64{"lotabots_gateway_prefix_expected_tokens_total": 1800, "lotabots_gateway_prefix_cached_tokens_total": 1780} {
		if _, text := r.do(r.admin, "GET", "/metrics", ""); !strings.Contains(text, fmt.Sprintf("%s %v\n", name, want)) {
			t.Errorf("%s is not %v", name, want)
		}
	}
}

// rigOfTwo has two instances, and another tenant's key.
func rigOfTwo(t *testing.T) (r *rig, stranger string) {
	t.Helper()
	r = newRig(t, func(c *gateway.Config) { stranger = c.State.(*state).addKey("str", "t2", 0, "infer") })
	r.node("n1", "north", 4, cached)
	r.node("n2", "north", 4, cached)
	return r, stranger
}

// TestExplanationsAreOnesOwn: who may not see the topology learns of its own request alone, and another tenant's
// same prompt is expected nowhere.
func TestExplanationsAreOnesOwn(t *testing.T) {
	r, stranger := rigOfTwo(t)
	r.holds("n2", "t1")
	for key, expected := range map[string]int{r.infer: 900, stranger: 0} {
		res, body := r.do(key, "POST", "/v1/chat/completions", longBody(false), traced, "1")
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		text := res.Header.Get(traced)
		if e := explained(t, text); e.Placed != nil || e.Expected != expected || strings.Contains(text, "n2") {
			t.Errorf("told %s, want %d expected", text, expected)
		}
	}
	if res, body := r.do(r.admin, "POST", "/v1/chat/completions", longBody(true)); res.Header.Get(traced) != "" || strings.Contains(body, "lotabots") {
		t.Errorf("explained to who has not asked: %v %s", res.Header, body)
	}
}

// TestSessions: requests of a session go to one instance, and are served elsewhere when that has gone.
func TestSessions(t *testing.T) {
	r, _ := rigOfTwo(t)
	homes := map[string]string{}
	for i := range 12 {
		name := fmt.Sprint("session-", i%6, strings.Repeat("x", 300*(i%2)))
		res, _ := r.do(r.admin, "POST", "/v1/chat/completions", chatBody, "X-LotaBots-Session", name, traced, "1")
		e := explained(t, res.Header.Get(traced))
		if was := homes[name]; was != "" && was != e.Node || !e.Session {
			t.Errorf("%.20s went from %s to %+v", name, was, e)
		}
		homes[name] = e.Node
	}
	r.g.Table().NodeGone("n1")
	for name := range homes {
		if res, body := r.do(r.admin, "POST", "/v1/chat/completions", chatBody, "X-LotaBots-Session", name); res.StatusCode != http.StatusOK || res.Header.Get("X-LotaBots-Node") != "n2" {
			t.Errorf("%.20s: %d %s", name, res.StatusCode, body)
		}
	}
}

// Where a deployment shares its tenants' prefixes, what one has left is expected for all.
func TestSharedPrefixes(t *testing.T) {
	r, stranger := rigOfTwo(t)
	d, _ := r.state.Deployment("m")
	d.Options = map[string]string{"share-prefixes": "on"}
	var check openai.Request
	var p prefix.Prompt
	body := []byte(longBody(false))
	_ = check.Check(openai.Chat, body)
	check.Names(body, "", &p)
	r.g.Table().Observe(&wire.LoadDigest{Node: "n2", Boot: r.boot, Prefixes: []*wire.PrefixNews{{Instance: "i-n2", Added: p.Names()[2:3], Tokens: []uint32{900}}}}, time.Now())
	res, _ := r.do(stranger, "POST", "/v1/chat/completions", longBody(false), traced, "1")
	if e := explained(t, res.Header.Get(traced)); e.Expected != 900 {
		t.Errorf("%+v", e)
	}
}
