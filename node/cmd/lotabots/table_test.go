package main

import (
	"strings"
	"testing"

	"github.com/lotabots/lotabots/gateway"
)

func TestStatusTellsWhoVotes(t *testing.T) {
	nodes := []gateway.NodeStatus{
		{ID: "n1", State: "active", Alive: true, Leader: true, Voter: true},
		{ID: "n2", State: "draining", Alive: true, Voter: true},
		{ID: "n3", State: "active", Voter: true},
		{ID: "n4", State: "active", Alive: true, Spare: true},
		{ID: "n5", State: "active", Alive: true},
		{ID: "n6", State: "removed", Alive: true},
	}
	var words []string
	for _, n := range nodes {
		words = append(words, nodeWord(n))
	}
	if got := strings.Join(words, "; "); got != "active, leader; draining, voter; DEAD, voter; active, spare; active; removed" {
		t.Errorf("states: %s", got)
	}
	if got := raftWord(nodes); got != "n1, n2, n3 (DEAD); spares: n4" {
		t.Errorf("voters: %s", got)
	}
	var out strings.Builder
	statusTable(&out, gateway.Status{Nodes: nodes[4:5]})
	if !strings.Contains(out.String(), "not known here") {
		t.Errorf("no leader answers:\n%s", out.String())
	}
}

func TestStatusTellsHowFarALoadIs(t *testing.T) {
	for want, i := range map[string]gateway.InstanceStatus{
		"ready":                     {State: "ready", LoadS: 3},
		"cold":                      {State: "cold"},
		"cold (loads in 7 s)":       {State: "cold", LoadS: 7.2},
		"loading: waits for memory": {State: "loading", Phase: "memory"},
		"loading: load":             {State: "loading", Phase: "load"},
		"loading: fetch 40 %":       {State: "loading", Phase: "fetch", Progress: 40},
		"restarting: fetch":         {State: "restarting", Phase: "fetch"},
	} {
		if got := stateWord(i); got != want {
			t.Errorf("%+v: %q, want %q", i, got, want)
		}
	}
}
