package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// Usage gives every sum that fits, as the state's walk does.
func (s *state) Usage(q gateway.UsageQuery, each func(*wire.UsageRow) bool) gateway.UsageSpan {
	s.mu.Lock()
	rows := s.usage
	s.mu.Unlock()
	for _, r := range rows {
		fits := (q.Tenant == "" || r.Tenant == q.Tenant) && (q.User == "" || r.User == q.User) && (q.Key == "" || r.Key == q.Key) && (q.Version == 0 || r.Version == q.Version) && r.AtMs >= q.FromMS && r.AtMs < q.ToMS
		if fits && !each(r) {
			break
		}
	}
	return gateway.UsageSpan{FromMS: q.FromMS, ToMS: q.ToMS}
}

func (s *state) UsageLedgers() []*wire.UsageLedger {
	return []*wire.UsageLedger{{Dropped: 2}, {Dropped: 3}}
}

type used struct {
	FromMS     *int64  `json:"from_ms"`
	Tenant     string  `json:"tenant"`
	Key        string  `json:"key"`
	Requests   uint64  `json:"requests"`
	Version    uint64  `json:"version"`
	Prompt     uint64  `json:"prompt_tokens"`
	Completion uint64  `json:"completion_tokens"`
	GPU        float64 `json:"gpu_seconds"`
}

func (r *rig) usage(t *testing.T, key, query string) (status int, data []used, total used, body string) {
	t.Helper()
	var told struct {
		Data    []used `json:"data"`
		Total   used   `json:"total"`
		Dropped int    `json:"dropped"`
	}
	res, body := r.do(key, "GET", "/admin/v1/usage?"+query, "")
	if err := json.Unmarshal([]byte(body), &told); err != nil || res.StatusCode == 200 && told.Dropped != 5 {
		t.Fatalf("%s: %v", body, err)
	}
	return res.StatusCode, told.Data, told.Total, body
}

func usageRig(t *testing.T) *rig {
	r := newRig(t)
	const hour = 3_600_000
	for i := range int64(6) { // tenants t1 and t2, keys a, b, c, users u1 and none
		r.state.usage = append(r.state.usage, &wire.UsageRow{AtMs: i * hour / 2, PeriodS: 60, Tenant: fmt.Sprint("t", i%2+1), Key: string(rune('a' + i%3)),
			User: []string{"u1", "", "u2"}[i%3], Deployment: "m", Version: uint64(i%3) * 6, Requests: 1, Prompt: uint64(1 + i), Completion: 10, GpuMs: 1500})
	}
	return r
}

func TestUsageIsSummedUp(t *testing.T) {
	r := usageRig(t)
	r.state.addUser("root", "", "admin")
	r.tellState()
	root := r.enter("root")
	if status, data, total, body := r.usage(t, root, "from=0"); status != 200 || len(data) != 1 || total.Requests != 6 || total.Prompt != 21 || total.GPU != 9 {
		t.Errorf("%d %s", status, body)
	}
	_, data, _, body := r.usage(t, root, "from=0&group_by=key,tenant")
	if len(data) != 6 || data[0].Tenant != "t1" || data[0].Key != "a" || data[5].Tenant != "t2" || data[5].Key != "c" {
		t.Errorf("by tenant and key: %s", body)
	}
	if _, data, _, body := r.usage(t, root, "from=0&step=hour"); len(data) != 3 || *data[1].FromMS != 3_600_000 || data[1].Prompt != 3+4 {
		t.Errorf("by the hour: %s", body)
	}
	if _, _, total, body := r.usage(t, root, "from=3600000&to=1970-01-01T02:00:00Z&key=c"); total.Requests != 1 || total.Prompt != 3 {
		t.Errorf("of a key in an hour: %s", body)
	}
	if _, data, _, body := r.usage(t, root, "from=0&group_by=version"); len(data) != 3 || data[0].Version != 0 || data[1].Version != 6 || data[2].Version != 12 || data[2].Requests != 2 || !strings.Contains(body, `"version":0`) {
		t.Errorf("by version: %s", body)
	}
	if _, _, total, body := r.usage(t, root, "from=0&version=6"); total.Requests != 2 || total.Prompt != 2+5 {
		t.Errorf("of a version: %s", body)
	}
	if _, data, total, body := r.usage(t, root, ""); len(data) != 0 || total.Requests != 0 {
		t.Errorf("of the last day: %s", body)
	}
	for _, wrong := range []string{"step=week", "group_by=colour", "from=5&to=4", "version=0", "version=x", "from=x", "sort=key"} {
		if status, _, _, body := r.usage(t, root, wrong); status != 400 {
			t.Errorf("%s: %d %s", wrong, status, body)
		}
	}
}

// TestUsageIsShownToWhomItConcerns: a tenant's reader sees the tenant's, a user his own.
func TestUsageIsShownToWhomItConcerns(t *testing.T) {
	r := usageRig(t)
	r.state.addUser("aud", "t1", "auditor")
	r.state.addUser("u9", "t1")
	r.tellState()
	auditor, developer, stranger := r.enter("aud"), r.enter("u1"), r.enter("u9")
	for name, c := range map[string]struct {
		key, query string
		status     int
		requests   uint64
	}{
		"a tenant's auditor":                {auditor, "from=0", 200, 3},
		"of the tenant by name":             {auditor, "from=0&tenant=t1", 200, 3},
		"of another":                        {auditor, "from=0&tenant=t2", 403, 0},
		"a developer: his own":              {developer, "from=0", 200, 2},
		"in one tenant":                     {developer, "from=0&tenant=t1", 200, 1},
		"of another's":                      {developer, "from=0&user=u2", 403, 0},
		"of a key that is another's":        {developer, "from=0&key=b", 200, 0},
		"a user without a role: his own":    {stranger, "from=0", 200, 0},
		"a key that may infer, of nobody's": {r.infer, "from=0", 403, 0},
	} {
		if status, _, total, body := r.usage(t, c.key, c.query); status != c.status || total.Requests != c.requests {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

// TestAStreamIsSettledBeforeItsEnd: with what the engine told, though its client did
// not ask for it, and before the client has the last event.
func TestAStreamIsSettledBeforeItsEnd(t *testing.T) {
	s := &gate{settled: make(chan *wire.UsageRecord), on: make(chan struct{})}
	r := newRig(t, func(c *gateway.Config) { c.Usage = s })
	r.node("n1", "north", 4, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}`+"\n\n")
		if body, _ := io.ReadAll(req.Body); strings.Contains(string(body), `"include_usage":true`) {
			_, _ = io.WriteString(w, `data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}`+"\n\n")
		}
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	})
	r.able("n1", "m", spec.AbleUsage|spec.AbleChat, 0)
	ended := make(chan string, 1)
	go func() {
		_, body := r.do(r.infer, "POST", "/v1/chat/completions", strings.Replace(chatBody, "{", `{"stream":true,`, 1))
		ended <- body
	}()
	u := <-s.settled
	select {
	case body := <-ended:
		t.Errorf("before it was settled the client had %s", body)
	case <-time.After(20 * time.Millisecond):
	}
	close(s.on)
	if body := <-ended; !strings.HasSuffix(body, "data: [DONE]\n\n") || strings.Contains(body, "usage") {
		t.Errorf("the client got %s", body)
	}
	if u.Prompt != 7 || u.Cached != 4 || u.Completion != 2 || u.Unknown || u.Outcome != "ok" || u.Endpoint != "/v1/chat/completions" {
		t.Errorf("%+v", u)
	}
}

// A gate is a sink that settles once it is on.
type gate struct {
	settled chan *wire.UsageRecord
	on      chan struct{}
}

func (g *gate) Settle(u *wire.UsageRecord) error {
	g.settled <- proto.CloneOf(u)
	<-g.on
	return nil
}

func (g *gate) Note(u *wire.UsageRecord) { g.settled <- proto.CloneOf(u) }
