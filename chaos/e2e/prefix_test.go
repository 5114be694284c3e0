//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A talk is one conversation with one deployment.
type talk struct {
	c     *cluster
	key   string
	turns []map[string]string
	node  string // that served the last turn
}

// say adds a turn and returns who served it, and how much of the prompt its engine held.
func (k *talk) say(text string) (node string, cached, prompt int) {
	k.c.t.Helper()
	k.turns = append(k.turns, map[string]string{"role": "user", "content": text})
	answer, raw, err := call(k.c.t.Context(), "POST", k.c.file.Nodes[0].API+"/v1/chat/completions", k.key,
		map[string]any{"model": k.c.file.Deployment, "messages": k.turns, "max_tokens": 12, "temperature": 0})
	if err != nil || answer.StatusCode != http.StatusOK {
		k.c.t.Fatalf("%v: %s", err, raw)
	}
	var body struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct {
			Prompt  int `json:"prompt_tokens"`
			Details struct {
				Cached int `json:"cached_tokens"`
			} `json:"prompt_tokens_details"`
		}
	}
	if err := json.Unmarshal(raw, &body); err != nil || len(body.Choices) != 1 {
		k.c.t.Fatalf("%v: %s", err, raw)
	}
	k.turns = append(k.turns, map[string]string{"role": "assistant", "content": body.Choices[0].Message.Content})
	return answer.Header.Get("X-LotaBots-Node"), body.Usage.Details.Cached, body.Usage.Prompt
}

// TestTurnsGoToTheirPrefix: the turns of a conversation go to the instance that has read those before,
// and what was expected to be there is what its engine found.
func TestTurnsGoToTheirPrefix(t *testing.T) {
	c := startCluster(t, nil, "--nodes", "2", "--regions", "north")
	c.await(time.Minute, "each node has an instance", c.spread)
	key := c.file.AdminKey
	const talks, turns = 6, 4
	all := make([]*talk, talks)
	places := map[string]int{}
	moved, lost := 0, 0
	for turn := range turns {
		for i := range all {
			if turn == 0 {
				all[i] = &talk{c: c, key: key}
			}
			node, cached, prompt := all[i].say(fmt.Sprintf("Talk %d, turn %d: count on from %d. %s", i, turn, 10*i, strings.Repeat("one two three ", 12)))
			if turn == 0 {
				places[node]++
			} else if node != all[i].node {
				moved++
				t.Logf("talk %d went from %s to %s at turn %d", i, all[i].node, node, turn)
			}
			if turn > 0 && cached < prompt/3 {
				lost++
				t.Logf("talk %d, turn %d at %s: %d of %d tokens were there", i, turn, node, cached, prompt)
			}
			all[i].node = node
		}
		time.Sleep(1500 * time.Millisecond) // gateways are told within a second
	}
	if len(places) != 2 {
		t.Logf("all talks began at one instance: %v", places) // which is chance
	}
	// A tiny model reads so fast that load now and then outweighs what is there; without affinity half would move.
	if most := talks * (turns - 1) / 4; moved > most || lost > most {
		t.Errorf("%d of %d turns left their instance, %d found little there", moved, talks*(turns-1), lost)
	}
	expected, cached := c.metric(0, "lotabots_gateway_prefix_expected_tokens_total"), c.metric(0, "lotabots_gateway_prefix_cached_tokens_total")
	t.Logf("%.0f tokens were expected, %.0f were there", expected, cached)
	if cached == 0 || expected < 0.8*cached || expected > 1.2*cached {
		t.Errorf("%.0f tokens were expected, %.0f were there", expected, cached)
	}
	// Another tenant's prompt is the same, and finds nothing of it.
	if answer, raw, err := call(t.Context(), "PUT", c.file.Nodes[0].API+"/admin/v1/tenants/stranger", c.file.AdminKey, map[string]any{}); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%v: %s", err, raw)
	}
	if _, found, _ := (&talk{c: c, key: c.key("stranger", "--tenant", "stranger").Key}).say(all[0].turns[0]["content"]); found != 0 {
		t.Errorf("a stranger's request found %d tokens", found)
	}
}

// metric is a number of the node's.
func (c *cluster) metric(node int, name string) float64 {
	c.t.Helper()
	_, raw, err := call(c.t.Context(), "GET", c.file.Nodes[node].API+"/metrics", c.file.AdminKey, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(raw))); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				c.t.Fatal(err)
			}
			return n
		}
	}
	c.t.Fatalf("there is no metric %s", name)
	return 0
}
