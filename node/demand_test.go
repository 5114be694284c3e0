package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/gossip"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestDemandsAreSummedAndForgotten(t *testing.T) {
	d, now := newDemands(), time.Unix(1000, 0)
	tell := func(node string, boot uint64, waiting uint32) {
		d.heard(&wire.LoadDigest{Node: node, Boot: boot, Demands: []*wire.Demand{{Deployment: "m", Waiting: waiting}}}, now)
	}
	tell("a", 2, 3)
	tell("a", 2, 4) // the newest stands for all before
	tell("a", 1, 9) // of an earlier process
	tell("b", 1, 2)
	if got := d.sum(now)["m"].Waiting; got != 6 {
		t.Errorf("%d wait, want 6", got)
	}
	d.forget("b")
	if got := d.sum(now)["m"].Waiting; got != 4 {
		t.Errorf("%d wait without one gateway, want 4", got)
	}
	if got := d.sum(now.Add(demandStale + 1)); len(got) != 0 {
		t.Errorf("what is old is believed: %v", got)
	}
}

func TestDemandsFitInDatagrams(t *testing.T) {
	var all []*wire.Demand
	for i := range 100 {
		all = append(all, &wire.Demand{Deployment: strings.Repeat("d", 120) + fmt.Sprint(i), Waits: []uint32{1 << 20, 1 << 20}, Arrived: 1 << 20})
	}
	told := 0
	for _, p := range packed(&wire.LoadDigest{Node: strings.Repeat("n", 60), Boot: 1 << 40, Note: 1}, all) {
		if n := proto.Size(p); n > gossip.MaxDigest || p.Node == "" || p.Note != 1 {
			t.Errorf("a digest of %d bytes: %v", n, p)
		}
		told += len(p.Demands)
	}
	if told != len(all) {
		t.Errorf("%d of %d are told", told, len(all))
	}
}
