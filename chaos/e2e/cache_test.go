//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A keeper is a cluster with a deployment that keeps answers.
type keeper struct {
	*cluster
	name string
}

// deploy says what is kept, and whose answers are; context changes the version.
func (k *keeper) deploy(context int, scope string) {
	k.t.Helper()
	d := map[string]any{"engine": "embedded", "model": k.model(), "replicas": 3, "slots": 2, "context": context, "cache": "deterministic", "cache_scope": scope}
	if answer, raw, err := call(k.t.Context(), "PUT", k.file.Nodes[0].API+"/admin/v1/deployments/"+k.name, k.file.AdminKey, d); err != nil || answer.StatusCode != http.StatusOK {
		k.t.Fatalf("%v: %s", err, raw)
	}
}

// model is the one that the cluster came with.
func (k *keeper) model() string {
	k.t.Helper()
	_, raw, err := call(k.t.Context(), "GET", k.file.Nodes[0].API+"/admin/v1/models", k.file.AdminKey, nil)
	var models struct{ Data []struct{ Name string } }
	if err != nil || json.Unmarshal(raw, &models) != nil || len(models.Data) == 0 {
		k.t.Fatalf("%v: %s", err, raw)
	}
	return models.Data[0].Name
}

// ask asks at a node's gateway and tells how it was answered.
func (k *keeper) ask(node int, key string, n int, stream bool) (how string, answer []byte, took time.Duration) {
	began := time.Now()
	res, raw, err := call(k.t.Context(), "POST", k.file.Nodes[node].API+"/v1/chat/completions", key, chat(k.name, n, n+30, stream))
	if err != nil || res.StatusCode != http.StatusOK {
		k.t.Errorf("node %d: %v: %s", node, err, raw)
		return "", nil, 0
	}
	return res.Header.Get("X-LotaBots-Cache"), raw, time.Since(began)
}

// count sums what all nodes tell of the deployment's answers.
func (k *keeper) count() (hits, joined, misses int) {
	k.t.Helper()
	_, raw, err := call(k.t.Context(), "GET", k.file.Nodes[0].API+"/admin/v1/cache", k.file.AdminKey, nil)
	var told struct {
		Data []struct {
			Deployment           string
			Hits, Joined, Misses int
		}
	}
	if err != nil || json.Unmarshal(raw, &told) != nil {
		k.t.Fatalf("%v: %s", err, raw)
	}
	for _, d := range told.Data {
		if d.Deployment == k.name {
			hits, joined, misses = hits+d.Hits, joined+d.Joined, misses+d.Misses
		}
	}
	return hits, joined, misses
}

// settled waits until each gateway knows of three instances, one on each node, and of no others: while
// nodes still joined, two may have come to share one, of which one moves and leaves its answers behind.
func (k *keeper) settled(version int) {
	k.t.Helper()
	k.await(2*time.Minute, fmt.Sprint("three instances of version ", version, ", one on each node, are ready everywhere"), func() bool {
		for _, n := range k.file.Nodes {
			_, raw, err := call(k.t.Context(), "GET", n.API+"/admin/v1/status", k.file.AdminKey, nil)
			var s struct {
				Instances []struct {
					Deployment, State, Node string
					Version                 int
				}
			}
			if err != nil || json.Unmarshal(raw, &s) != nil {
				return false
			}
			all, on := 0, map[string]bool{}
			for _, i := range s.Instances {
				if i.Deployment != k.name {
					continue
				}
				if all++; i.State == "ready" && i.Version == version {
					on[i.Node] = true
				}
			}
			if all != 3 || len(on) != 3 {
				return false
			}
		}
		return true
	})
}

func (k *keeper) want(node int, key string, n int, want string) {
	k.t.Helper()
	if how, raw, _ := k.ask(node, key, n, false); how != want {
		k.t.Errorf("request %d at node %d was a %q, want %s: %.200s", n, node, how, want, raw)
	}
}

// TestKeptAnswers: what is asked again is answered by where it is kept, whichever gateway
// is asked; what is asked by many at once is computed once; no answer crosses tenants or
// versions; a purge reaches all; and what a dead node kept is made anew.
func TestKeptAnswers(t *testing.T) {
	k := &keeper{startCluster(t, nil, "--nodes", "3", "--regions", "north"), "kept"}
	k.deploy(0, "tenant")
	k.settled(1)
	admin := k.file.AdminKey
	k.collapse(admin)
	k.rests(admin)
	k.hitsEverywhere(admin)
	for _, tenant := range []string{"acme", "brick"} {
		if answer, raw, err := call(t.Context(), "PUT", k.file.Nodes[0].API+"/admin/v1/tenants/"+tenant, admin, map[string]any{}); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v: %s", err, raw)
		}
	}
	acme, brick := k.key("acme", "--tenant", "acme").Key, k.key("brick", "--tenant", "brick").Key
	for _, n := range k.file.Nodes { // each has heard of the keys
		for _, key := range []string{acme, brick} {
			k.await(30*time.Second, "the key is known", func() bool {
				res, _, err := call(t.Context(), "GET", n.API+"/v1/models", key, nil)
				return err == nil && res.StatusCode == http.StatusOK
			})
		}
	}
	k.want(0, acme, 200, "miss")
	k.want(1, acme, 200, "hit")
	k.want(2, brick, 200, "miss")
	k.want(0, brick, 200, "hit")

	k.want(1, acme, 201, "miss")
	k.run("cache", "purge", "--tenant", "acme")
	k.want(1, acme, 200, "miss")
	k.want(1, brick, 200, "hit")
	k.want(2, acme, 201, "miss")
	k.purgeKey(acme, brick)
	k.run("cache", "purge", k.name)
	k.want(2, acme, 200, "miss")
	k.want(0, brick, 200, "miss")
	if out := k.run("cache", "stats", k.name); !strings.Contains(out, "DEPLOYMENT") {
		t.Errorf("stats: %s", out)
	}
	k.shared(acme, brick)
	k.deploy(512, "tenant")
	k.settled(2)
	k.want(0, acme, 200, "miss")
	k.want(1, acme, 200, "hit")
	k.kill9(acme)
}

// purgeKey drops one answer, of all tenants that have it.
func (k *keeper) purgeKey(acme, brick string) {
	res, _, err := call(k.t.Context(), "POST", k.file.Nodes[0].API+"/v1/chat/completions", acme, chat(k.name, 200, 230, false))
	if err != nil {
		k.t.Fatal(err)
	}
	k.run("cache", "purge", "--cache-key", res.Header.Get("X-LotaBots-Cache-Key"))
	k.want(0, acme, 200, "miss")
	k.want(1, brick, 200, "miss")
	k.want(2, acme, 201, "hit")
}

// shared has all tenants share their answers, which restarts nothing, until they do not. A
// purge by the tenant that had one made finds it.
func (k *keeper) shared(acme, brick string) {
	n := 300
	told := func(scope, want string) {
		k.deploy(0, scope)
		for i := range k.file.Nodes {
			k.await(10*time.Second, "a node has heard that answers are of the scope "+scope, func() bool {
				n++
				k.ask(i, acme, n, false)
				how, _, _ := k.ask(i, brick, n, false)
				return how == want
			})
		}
	}
	told("shared", "hit")
	k.want(0, acme, 500, "miss")
	k.want(1, brick, 500, "hit")
	k.run("cache", "purge", "--tenant", "brick")
	k.want(2, brick, 500, "hit")
	k.run("cache", "purge", "--tenant", "acme")
	k.want(2, brick, 500, "miss")
	told("tenant", "miss")
}

// collapse has fifty ask the same at once, at all gateways.
func (k *keeper) collapse(key string) {
	_, _, before := k.count()
	const many = 50
	answers := make([][]byte, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() { _, answers[i], _ = k.ask(i%3, key, 1, true) })
	}
	all.Wait()
	hits, joined, misses := k.count()
	k.t.Logf("fifty who ask the same: %d engine calls, %d joined, %d hits", misses-before, joined, hits)
	if misses-before != 1 || joined+hits < many-1 {
		k.t.Errorf("%d were computed, %d joined, %d hit, of %d", misses-before, joined, hits, many)
	}
	for _, a := range answers {
		if !bytes.Equal(a, answers[0]) || !bytes.HasSuffix(bytes.TrimSpace(a), []byte("data: [DONE]")) {
			k.t.Fatalf("one got %q and another %q", answers[0], a)
		}
	}
}

// rests waits until each gateway has heard that the fifty are done. Before, one that takes the instance
// which would keep an answer for full has it made, and kept, where there is room.
func (k *keeper) rests(key string) {
	k.t.Helper()
	n := 60
	for i := range k.file.Nodes {
		k.await(10*time.Second, "a gateway has answers made where they are kept", func() bool {
			n++
			k.ask(i, key, n, false)
			how, _, _ := k.ask((i+1)%3, key, n, false)
			return how == "hit"
		})
	}
}

// hitsEverywhere asks each request once at one gateway, and then at the others. All are hits,
// also where gateways have not heard for a while how full the instances are.
func (k *keeper) hitsEverywhere(key string) {
	const distinct = 12
	var engine, kept []time.Duration
	hits, asked := 0, 0
	for n := range distinct {
		how, first, took := k.ask(n%3, key, 100+n, false)
		if how != "miss" {
			k.t.Errorf("request %d was a %q at first", n, how)
		}
		engine = append(engine, took)
		for other := 1; other < 6; other++ {
			how, again, took := k.ask((n+other)%3, key, 100+n, false)
			if asked++; how == "hit" {
				hits++
				kept = append(kept, took)
			}
			if !bytes.Equal(first, again) {
				k.t.Errorf("request %d: %s, and then %s", n, first, again)
			}
		}
	}
	if hits < asked {
		k.t.Errorf("%d of %d were hits", hits, asked)
	}
	slices.Sort(engine)
	slices.Sort(kept)
	a, b := engine[len(engine)/2], kept[len(kept)/2]
	fmt.Printf("figure: cache-hit-rate %.3f share goal >= 0.99\n", float64(hits)/float64(asked))
	fmt.Printf("figure: cache-engine-p50 %.2f ms goal >= 0\n", a.Seconds()*1e3)
	fmt.Printf("figure: cache-hit-p50 %.2f ms goal >= 0\n", b.Seconds()*1e3)
	fmt.Printf("figure: cache-hit-times-faster %.1f x goal >= 10\n", a.Seconds()/b.Seconds())
}

// kill9 kills the node that keeps an answer: it is made anew elsewhere, and kept there.
func (k *keeper) kill9(key string) {
	at := -1
	for i, n := range k.file.Nodes {
		_, raw, err := call(k.t.Context(), "GET", n.API+"/admin/v1/cache", k.file.AdminKey, nil)
		var told struct {
			Data []struct {
				Node, Deployment string
				Entries          int
			}
		}
		if err != nil || json.Unmarshal(raw, &told) != nil {
			k.t.Fatalf("%v: %s", err, raw)
		}
		for _, d := range told.Data {
			if d.Node == n.ID && d.Deployment == k.name && d.Entries > 0 {
				at = i
			}
		}
	}
	if at < 0 {
		k.t.Fatal("no node keeps an answer")
	}
	k.kill(k.file.Nodes[at].PID)
	other := (at + 1) % 3
	how, _, _ := k.ask(other, key, 200, false)
	k.t.Logf("after the death of the node that kept it: %s", how)
	k.await(30*time.Second, "it is kept elsewhere", func() bool {
		how, _, _ := k.ask(other, key, 200, false)
		return how == "hit"
	})
}
