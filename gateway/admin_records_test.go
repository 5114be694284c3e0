package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// books are records of two gateways, of which a third does not answer.
type books map[spec.NodeID][]*wire.UsageRecord

func newBooks() books {
	b := books{}
	for i := range 6 {
		id := spec.NodeID(fmt.Sprint("n", 1+i%2))
		b[id] = append(b[id], &wire.UsageRecord{Request: fmt.Sprint("r", i), AtMs: int64(1000 + i), Tenant: fmt.Sprint("t", 1+i/3), User: fmt.Sprint("u", i%3), Key: string(rune('a' + i%3)),
			Deployment: "m", Version: 3, Endpoint: "/v1/chat/completions", Node: "n9", Prompt: 5, Completion: 2, GpuMs: 1500, Outcome: spec.UsageOK, Attempts: 1})
	}
	return b
}

func (b books) Records(_ context.Context, q gateway.RecordQuery, asked func(spec.NodeID) (uint64, bool)) (found []gateway.FoundRecords, silent []spec.NodeID) {
	for _, id := range []spec.NodeID{"n1", "n2"} {
		before, ok := asked(id)
		if !ok {
			continue
		}
		f := gateway.FoundRecords{Gateway: id}
		for i := len(b[id]) - 1; i >= 0; i-- {
			u := b[id][i]
			if before > 0 && uint64(i+1) >= before || q.Tenant != "" && q.Tenant != u.Tenant || q.User != "" && q.User != u.User || q.Key != "" && q.Key != u.Key || q.Request != "" && q.Request != u.Request {
				continue
			}
			if len(f.Records) == q.Limit {
				f.Next = uint64(i + 2)
				break
			}
			f.Records = append(f.Records, gateway.FoundRecord{Number: uint64(i + 1), Record: u})
		}
		found = append(found, f)
	}
	if _, ok := asked("n3"); ok {
		silent = append(silent, "n3")
	}
	return found, silent
}

type recordsAnswer struct {
	Data []struct {
		Request string `json:"request_id"`
		Node    *string
		GPU     float64 `json:"gpu_seconds"`
	}
	NextCursor string   `json:"next_cursor"`
	Silent     []string `json:"silent_gateways"`
}

func (r *rig) records(t *testing.T, key, query string) (status int, ids []string, a recordsAnswer) {
	t.Helper()
	res, body := r.do(key, "GET", "/admin/v1/usage/records?"+query, "")
	if err := json.Unmarshal([]byte(body), &a); err != nil && res.StatusCode == http.StatusOK {
		t.Fatal(err)
	}
	for _, d := range a.Data {
		ids = append(ids, d.Request)
	}
	return res.StatusCode, ids, a
}

func TestRecordsPageByPage(t *testing.T) {
	r := newRig(t)
	var all []string
	for query, pages := "limit=4", 1; ; pages++ {
		status, ids, a := r.records(t, r.admin, query)
		if status != 200 || len(ids) > 4 || pages > 3 {
			t.Fatalf("%d %v", status, ids)
		}
		if all = append(all, ids...); len(a.Silent) != 1 && pages == 1 {
			t.Errorf("silent: %v", a.Silent)
		}
		if *a.Data[0].Node != "n9" || a.Data[0].GPU != 1.5 {
			t.Errorf("%+v", a.Data[0])
		}
		if a.NextCursor == "" {
			break
		}
		query = "limit=4&cursor=" + a.NextCursor
	}
	if want := []string{"r5", "r4", "r3", "r2", "r1", "r0"}; !slices.Equal(all, want) {
		t.Errorf("%v", all)
	}
	for query, want := range map[string][]string{"request=r3": {"r3"}, "gateway=n2": {"r5", "r3", "r1"}, "key=a": {"r3", "r0"}, "tenant=t1": {"r2", "r1", "r0"}} {
		if _, ids, _ := r.records(t, r.admin, query); !slices.Equal(ids, want) {
			t.Errorf("%s: %v", query, ids)
		}
	}
	for _, query := range []string{"cursor=x", "cursor=a.0", "from=2&to=1", "limit=0", "colour=red"} {
		if status, _, _ := r.records(t, r.admin, query); status != 400 {
			t.Errorf("%s: %d", query, status)
		}
	}
	none := newRig(t, func(c *gateway.Config) { c.Records = nil })
	none.partial = true
	if status, _, _ := none.records(t, none.admin, ""); status != 404 {
		t.Errorf("a gateway that reads none: %d", status)
	}
}

// TestWhoMayReadRecords is who may read the sums of them.
func TestWhoMayReadRecords(t *testing.T) {
	r := newRig(t)
	reader := r.state.addKey("rdr", "t1", 0, "usage.read")
	nobody := r.state.addKey("nob", "t1", 0, "infer")
	r.tellState()
	if status, ids, a := r.records(t, reader, ""); status != 200 || !slices.Equal(ids, []string{"r2", "r1", "r0"}) || a.Data[0].Node != nil || strings.Contains(strings.Join(a.Silent, ""), "n3") {
		t.Errorf("a tenant's reader: %d %v %+v", status, ids, a)
	}
	if status, ids, _ := r.records(t, reader, "tenant=t2"); status == 200 {
		t.Errorf("another tenant's: %v", ids)
	}
	if status, ids, _ := r.records(t, reader, "request=r5"); status != 200 || len(ids) != 0 {
		t.Errorf("another tenant's request: %d %v", status, ids)
	}
	if status, ids, _ := r.records(t, nobody, ""); status == 200 && len(ids) > 0 {
		t.Errorf("a key that may read no usage: %v", ids)
	}
}

// TestWhatIsRefusedForItsBodyIsWrittenDown, whatever is wrong with it, where it names a model of the key's.
func TestWhatIsRefusedForItsBodyIsWrittenDown(t *testing.T) {
	used := &sink{}
	r := newRig(t, func(c *gateway.Config) { c.Usage = used })
	r.node("n1", "north", 4, whole)
	for i, c := range []struct {
		path, body string
		written    bool
	}{
		{"/v1/chat/completions", `{"model":"m","messages":[`, true},
		{"/v1/chat/completions", `{"model":"m","n":0}`, true},
		{"/v1/chat/completions", `{"messages":[`, false},
		{"/v1/chat/completions", `{"model":"none","messages":[`, false},
		{"/v1/messages", `{"model":"m","messages":7}`, true},
		{"/v1/messages", `{"model":"m","messages`, true},
		{"/v1/responses", `{"model":"m","input":"x","previous_response_id":"y"}`, true},
		{"/v1/messages/count_tokens", `{"model":"m"}`, true},
		{"/v2/models/m/versions/x/infer", `{}`, true},
	} {
		id := fmt.Sprint("bad-", i)
		res, body := r.do(r.infer, "POST", c.path, c.body, "X-Request-Id", id)
		if res.StatusCode != 400 {
			t.Errorf("%s: %d %s", c.body, res.StatusCode, body)
		}
		at := slices.IndexFunc(written(used), func(u *wire.UsageRecord) bool { return u.GetRequest() == id })
		if (at >= 0) != c.written {
			t.Errorf("%s %s: written down: %v", c.path, c.body, at >= 0)
		}
		if at >= 0 {
			if u := written(used)[at]; u.GetDeployment() != "m" || u.GetOutcome() != spec.UsageRefused || u.GetCode() == "" {
				t.Errorf("%v", u)
			}
		}
	}
}
