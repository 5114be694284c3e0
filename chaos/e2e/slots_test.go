//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos/mockengine"
)

// places is what the node tells of the deployment's one instance.
func (c *cluster) places(deployment string) (slots, ceiling int) {
	c.t.Helper()
	answer, raw, err := call(c.t.Context(), "GET", c.file.Nodes[0].API+"/admin/v1/status", c.file.AdminKey, nil)
	if err != nil || answer.StatusCode != 200 {
		return 0, 0
	}
	var told struct {
		Instances []struct {
			Deployment string `json:"deployment"`
			Slots      int    `json:"slots"`
			Ceiling    int    `json:"slots_ceiling"`
		} `json:"instances"`
	}
	if err := json.Unmarshal(raw, &told); err != nil {
		c.t.Fatal(err)
	}
	for _, i := range told.Instances {
		if i.Deployment == deployment {
			return i.Slots, i.Ceiling
		}
	}
	return 0, 0
}

// TestSlotsAreFound: an engine that is said to take eight requests at a time, and does ever less from
// the third on, gets two or three, while its clients' other requests wait at the gateway. Beside it
// one whose slots are not to adapt keeps its eight.
func TestSlotsAreFound(t *testing.T) {
	const bears = 2
	mock := serveMock(t, mockengine.New(mockengine.Config{Model: "steep", Tokens: 4, FirstToken: 120 * time.Millisecond, Interval: 30 * time.Millisecond, Bears: bears, Forget: true}))
	c := startCluster(t, []string{"LOTABOTS_ENGINES_EXTERNAL_URLS=" + mock}, "--nodes", "1", "--engine", "external", "--engine-url", mock)
	c.run("deploy", "steep", "--engine", "external", "--option", "url="+mock, "--slots", "8")
	c.run("deploy", "fixed", "--engine", "external", "--option", "url="+mock, "--option", "adaptive-slots=off", "--slots", "8")
	c.await(time.Minute, "both serve", func() bool {
		slots, ceiling := c.places("steep")
		other, _ := c.places("fixed")
		return slots == 8 && ceiling == 8 && other == 8
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	clients := c.keepAsking(ctx, 10, "steep", 4)
	// About one search in eight goes up once before it goes down, by chance, which takes it a minute more.
	took := c.await(4*time.Minute, "the engine gets as many as it bears", func() bool { slots, _ := c.places("steep"); return slots == bears || slots == bears+1 })
	cancel()
	clients.check(t)
	t.Logf("%v, %d requests", took.Round(100*time.Millisecond), clients.answered.Load())
	if slots, ceiling := c.places("fixed"); slots != 8 || ceiling != 8 {
		t.Errorf("the fixed one has %d of %d", slots, ceiling)
	}
}
