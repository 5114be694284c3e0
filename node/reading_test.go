package node

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/demo"
)

// TestTheClustersOwnSettingsAreNobodysElse: the fence of a recovery is neither
// shown nor written by the admin API.
func TestTheClustersOwnSettingsAreNobodysElse(t *testing.T) {
	n := found(t, "n1", "north")
	put := func(name string) {
		c := &wire.Command{AtMs: time.Now().UnixMilli(), Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: name, Value: "0"}}}
		if r, err := n.node.proposer.Propose(t.Context(), c); err != nil || r.GetCode() != "" {
			t.Fatal(r, err)
		}
	}
	put(epochSetting)
	put("colour")
	var page struct{ Data []struct{ Name string } }
	n.admin("GET", "/admin/v1/settings?consistency=linearizable", nil, &page)
	if len(page.Data) != 1 || page.Data[0].Name != "colour" {
		t.Errorf("shown: %v", page.Data)
	}
	for _, path := range []string{epochSetting, strings.ReplaceAll(epochSetting, "/", "%2F")} {
		err := client.New(n.adminKey(), "http://"+n.cfg.API.Listen).Do(t.Context(), "PUT", "/admin/v1/settings/"+path, map[string]string{"value": "9"}, nil)
		if err == nil {
			t.Errorf("%s was written", path)
		}
	}
}

// TestWhatWasImportedMayBeDeployedAtOnce: by the node that took the model in, whose copy of the state comes from the
// leader, and by another.
func TestWhatWasImportedMayBeDeployedAtOnce(t *testing.T) {
	n1 := found(t, "n1", "north")
	n2 := n1.join("n2", "south", "worker", "gateway")
	n2.ready()
	nodes := []*testNode{n1, n2}
	for i := range 12 {
		name := fmt.Sprintf("model-%d", i)
		nodes[i/2%2].admin("PUT", "/admin/v1/models/"+name, bytes.NewReader(demo.Model), nil)
		nodes[i%2].admin("PUT", "/admin/v1/deployments/"+name+"?force=true", map[string]any{"engine": "embedded", "model": name, "replicas": 0}, nil)
	}
}
