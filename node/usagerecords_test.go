package node

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
)

// TestTheQuestionForRecords is as nodes of other builds write and read it.
func TestTheQuestionForRecords(t *testing.T) {
	q := recordsQuestion{Query: gateway.RecordQuery{RecordFilter: spec.RecordFilter{Request: "r", ToMS: 2}, Limit: 3}, Before: 4}
	raw, err := json.Marshal(q)
	const want = `{"Query":{"Request":"r","Tenant":"","User":"","Key":"","Deployment":"","Adapter":"","Endpoint":"","Region":"","Outcome":"","Code":"","FromMS":0,"ToMS":2,"Limit":3},"Before":4}`
	if err != nil || string(raw) != want {
		t.Errorf("it is\n%s, %v; want\n%s", raw, err, want)
	}
}

// TestRecordsOfAllGateways: a request that one gateway has served is read at another, as long as the first lives; then
// the answer says that it is silent.
func TestRecordsOfAllGateways(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	n2 := n1.join("n2", "south", allRoles...)
	n1.admin("PUT", "/admin/v1/deployments/m", map[string]any{"engine": "external", "options": map[string]string{"url": "http://127.0.0.1:1/v1"}}, nil)
	n2.ready()
	ask := func(n *testNode, id, body string) {
		t.Helper()
		r, err := http.NewRequest("POST", "http://"+n.cfg.API.Listen+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+n1.adminKey())
		r.Header.Set("X-Request-Id", id)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Fatalf("%s: %d", id, answer.StatusCode)
		}
	}
	await(t, 30*time.Second, "n2 knows the deployment", func() bool { _, ok := n2.node.state.Deployment("m"); return ok })
	ask(n1, "here", `{"model":"m","messages":[],"n":0}`)
	time.Sleep(5 * time.Millisecond) // records are told apart in time by milliseconds
	ask(n2, "there", `{"model":"m","messages":[`)
	type answer struct {
		Data []struct {
			Request    string `json:"request_id"`
			Gateway    string
			Deployment string
			Outcome    string
			Code       string
		}
		NextCursor string   `json:"next_cursor"`
		Silent     []string `json:"silent_gateways"`
	}
	var all answer
	n1.admin("GET", "/admin/v1/usage/records", nil, &all)
	if len(all.Data) != 2 || all.Data[0].Request != "there" || all.Data[0].Gateway != "n2" || all.Data[1].Gateway != "n1" || len(all.Silent) != 0 {
		t.Errorf("%+v", all)
	}
	var first, second answer
	n1.admin("GET", "/admin/v1/usage/records?limit=1", nil, &first)
	n2.admin("GET", "/admin/v1/usage/records?limit=1&cursor="+first.NextCursor, nil, &second)
	if len(first.Data) != 1 || len(second.Data) != 1 || first.Data[0].Request != "there" || second.Data[0].Request != "here" || second.NextCursor != "" {
		t.Errorf("%+v, then %+v", first, second)
	}
	var one answer
	n1.admin("GET", "/admin/v1/usage/records?request=there", nil, &one)
	if len(one.Data) != 1 || one.Data[0].Deployment != "m" || one.Data[0].Outcome != "refused" || one.Data[0].Code != "invalid_json" {
		t.Errorf("%+v", one)
	}
	await(t, 30*time.Second, "the state has n2's ledger", func() bool { return len(n1.node.state.UsageLedgers()) == 2 })
	n2.stop()
	await(t, 30*time.Second, "n2 is known to be silent", func() bool {
		var left answer
		n1.admin("GET", "/admin/v1/usage/records", nil, &left)
		return len(left.Data) == 1 && left.Data[0].Request == "here" && len(left.Silent) == 1 && left.Silent[0] == "n2"
	})
}
