//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A trying is a cluster with a deployment that has canaries.
type trying struct {
	*cluster
}

// versions is the deployment's version and its canary's, 0 where there is none, as each node tells them; and
// how many instances of each version serve.
func (c trying) versions(node int) (version, canary uint64, ready map[uint64]int) {
	c.t.Helper()
	ready = map[uint64]int{}
	api, key := c.file.Nodes[node].API, c.file.AdminKey
	var all struct {
		Data []struct {
			Name    string
			Version uint64
			Canary  *struct{ Version uint64 }
		}
	}
	if answer, raw, err := call(c.t.Context(), "GET", api+"/admin/v1/deployments", key, nil); err != nil || answer.StatusCode != 200 || json.Unmarshal(raw, &all) != nil {
		return 0, 0, ready
	}
	for _, d := range all.Data {
		if d.Name != "tried" {
			continue
		}
		if version = d.Version; d.Canary != nil {
			canary = d.Canary.Version
		}
	}
	var s struct {
		Instances []struct {
			Deployment, State string
			Version           uint64
		}
	}
	if answer, raw, err := call(c.t.Context(), "GET", api+"/admin/v1/status", key, nil); err != nil || answer.StatusCode != 200 || json.Unmarshal(raw, &s) != nil {
		return 0, 0, ready
	}
	for _, i := range s.Instances {
		if i.Deployment == "tried" && i.State == "ready" {
			ready[i.Version]++
		}
	}
	return version, canary, ready
}

// stands waits until every node knows of that version and canary, with so many instances of each.
func (c trying) stands(what string, version, canary uint64, ready map[uint64]int) time.Duration {
	c.t.Helper()
	return c.await(2*time.Minute, what, func() bool {
		for node := range c.file.Nodes {
			v, w, r := c.versions(node)
			if v != version || w != canary || fmt.Sprint(r) != fmt.Sprint(ready) {
				return false
			}
		}
		return true
	})
}

// served counts, of so many requests, which version has served them.
func (c trying) served(n int, session string) map[uint64]int {
	c.t.Helper()
	out := map[uint64]int{}
	for i := range n {
		body, _ := json.Marshal(chat("tried", 1, 3, false))
		request, err := http.NewRequestWithContext(c.t.Context(), "POST", c.file.Nodes[i%len(c.file.Nodes)].API+"/v1/chat/completions", bytes.NewReader(body))
		if err != nil {
			c.t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+c.file.AdminKey)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("X-LotaBots-Trace", "1")
		if session != "" {
			request.Header.Set("X-LotaBots-Session", session)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			c.t.Fatal(err)
		}
		answer.Body.Close()
		var told struct{ Version uint64 }
		if err := json.Unmarshal([]byte(answer.Header.Get("X-LotaBots-Trace")), &told); err != nil || answer.StatusCode != 200 {
			c.t.Fatalf("%s: %v in %q", answer.Status, err, answer.Header.Get("X-LotaBots-Trace"))
		}
		out[told.Version]++
	}
	return out
}

// TestCanary: another version serves its part of a deployment's requests beside it. It is promoted by hand and by
// how it does; one that fails everything is given up by itself; and of clients that ask all the while none notices.
func TestCanary(t *testing.T) {
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" || r.URL.Path == "/health" {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"object":"list","data":[{"id":"tried","object":"model"}]}`)
			return
		}
		http.Error(w, `{"error":{"message":"it is broken"}}`, http.StatusInternalServerError)
	}))
	defer bad.Close()
	c := trying{startCluster(t, []string{"LOTABOTS_ENGINES_EXTERNAL_URLS=" + bad.URL}, "--nodes", "3", "--regions", "north")}
	c.run("deploy", "tried", "--model", c.file.Deployment, "--replicas", "2", "--apart-from", "tried", "--slots", "8")
	c.stands("two instances serve", 1, 0, map[uint64]int{1: 2})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	clients := c.keepAsking(ctx, 4, "tried", 40)

	c.run("canary", "set", "tried", "--context", "512", "--percent", "50")
	c.stands("the canary serves beside them", 1, 2, map[uint64]int{1: 2, 2: 1})
	if by := c.served(60, ""); by[2] < 15 || by[2] > 45 || by[1]+by[2] != 60 {
		t.Errorf("of 60 requests at 50 percent each version has served %v", by)
	}
	c.run("canary", "set", "tried", "--percent", "0")
	c.await(10*time.Second, "no request is the canary's", func() bool { return c.served(12, "")[2] == 0 })
	c.run("canary", "promote", "tried")
	took := c.stands("the canary's version took its place", 2, 0, map[uint64]int{2: 2})
	fmt.Printf("figure: canary_promoted_in %.1f s\n", took.Seconds())

	began := time.Now()
	c.run("canary", "set", "tried", "--engine", "external", "--model=", "--option", "url="+bad.URL, "--percent", "30", "--judge-after", "10m")
	c.await(10*time.Second, "the canary is there", func() bool { _, canary, _ := c.versions(0); return canary == 3 })
	c.stands("a canary that fails is given up", 2, 0, map[uint64]int{2: 2})
	fmt.Printf("figure: canary_given_up_in %.1f s goal <= 60\n", time.Since(began).Seconds())

	c.run("canary", "set", "tried", "--context", "640", "--percent", "40", "--judge-after", "5s", "--judge-requests", "20", "--judge-slower", "10")
	c.stands("a canary that does well is promoted", 4, 0, map[uint64]int{4: 2})
	cancel()
	clients.check(t)
	fmt.Printf("figure: canary_clients_failed %d requests goal <= 0\n", clients.failed.Load())
	t.Logf("%d requests were answered meanwhile", clients.answered.Load())
	if clients.answered.Load() < 20 {
		t.Error("hardly anybody asked")
	}
	c.run("canary", "set", "tried", "--slots", "2", "--percent", "50")
	c.stands("another serves beside them", 4, 5, map[uint64]int{4: 2, 5: 1})
	for i := range 6 {
		if by := c.served(6, fmt.Sprint("session", i)); len(by) != 1 {
			t.Errorf("a session was served by %v", by)
		}
	}
	c.run("canary", "abort", "tried")
	c.stands("it goes on as it was", 4, 0, map[uint64]int{4: 2})
}
