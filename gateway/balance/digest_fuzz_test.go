package balance

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// FuzzObserve: whatever a member tells of its load, a request is placed or refused with a time to come again.
func FuzzObserve(f *testing.F) {
	seed := func(change func(*wire.InstanceLoad)) {
		in := &wire.InstanceLoad{Instance: "i", Deployment: "m", Version: 1, State: ready, Slots: 4}
		change(in)
		raw, err := proto.Marshal(&wire.LoadDigest{Node: "n", Boot: 1, Devices: []*wire.DeviceLoad{{Device: "d", Seq: 1, Instances: []*wire.InstanceLoad{in}}}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	seed(func(*wire.InstanceLoad) {})
	seed(func(in *wire.InstanceLoad) {
		in.KvUse, in.BacklogSeconds, in.PrefillTps, in.DecodeTps = nan, nan, nan, nan
	})
	seed(func(in *wire.InstanceLoad) {
		in.KvUse, in.BacklogSeconds, in.PrefillTps, in.DecodeTps = inf, inf, -inf, 0
	})
	seed(func(in *wire.InstanceLoad) {
		in.State, in.LoadSeconds = wire.InstanceState_INSTANCE_STATE_LOADING, inf
	})
	seed(func(in *wire.InstanceLoad) {
		in.Slots, in.Running, in.Queued = math.MaxUint32, math.MaxUint32, math.MaxUint32
	})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var d wire.LoadDigest
		if proto.Unmarshal(raw, &d) != nil {
			return
		}
		table := NewTable(Config{Region: "north", QueueTimeout: time.Nanosecond, ReadyTimeout: time.Nanosecond, LoadTimeout: time.Nanosecond})
		table.PutMember(Member{Node: spec.NodeID(d.GetNode()), Region: "north"})
		table.Observe(&d, time.Now())
		for range 3 {
			var g Grant
			_, err := table.Acquire(context.Background(), &Query{Deployment: "m", Version: 1, Region: "north", PromptTokens: 1}, &g)
			var r *Refusal
			switch {
			case err == nil && g.Node != spec.NodeID(d.GetNode()):
				t.Errorf("placed at %q", g.Node)
			case err != nil && (!errors.As(err, &r) || r.RetryAfter < MinRetry || r.RetryAfter > time.Hour):
				t.Errorf("refused with %v: %+v", err, r)
			}
		}
	})
}
