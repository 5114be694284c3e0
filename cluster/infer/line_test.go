package infer

import (
	"bytes"
	"net/http"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A told is what came over a line, either way.
type told struct {
	sync.Mutex
	waits  []spec.Reservation
	leases []spec.Lease
}

func (o *told) counts() (waits, leases int) {
	o.Lock()
	defer o.Unlock()
	return len(o.waits), len(o.leases)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}

func TestLine(t *testing.T) {
	var got told
	lines := NewLines()
	r := newRig(t, nil, Config{Lines: lines, Peer: func(*http.Request) (spec.NodeID, bool) { return "a", true },
		Reserve: func(device spec.DeviceID, r spec.Reservation) {
			got.Lock()
			defer got.Unlock()
			if device != "gpu/1" {
				t.Errorf("told %s", device)
			}
			got.waits = append(got.waits, r)
		}})
	talk := r.client.Talk(func(node spec.NodeID, l spec.Lease) {
		got.Lock()
		defer got.Unlock()
		if node != "b" {
			t.Errorf("granted by %s", node)
		}
		got.leases = append(got.leases, l)
	})
	to := spec.Target{Node: "b", Device: "gpu/1", Instance: "i"}
	lease := spec.Lease{Gateway: "a", Instance: "i", ID: 7, Lasts: 250 * time.Millisecond, Load: spec.Load{Instance: "i", Slots: 3, Running: 2, Paced: true, Seq: 9}}
	if lines.Grant(lease) {
		t.Error("a lease was sent where there is no line")
	}
	want := spec.Reservation{Gateway: "forged", Instance: "i", Run: 1 << 63, Seq: 5, Count: 3, Bands: spec.Bands{2, 0, 1}, Oldest: 2 * time.Second, Priority: 2, Tenant: 99, Age: 1500 * time.Microsecond, Cost: 1234, Declined: 4}
	for i := range 100 {
		want.Seq = uint64(i + 1)
		talk.Reserve(to, want)
	}
	eventually(t, "all is told", func() bool { n, _ := got.counts(); return n == 100 })
	want.Gateway = "a"
	for i, w := range got.waits {
		if want.Seq = uint64(i + 1); w != want {
			t.Fatalf("told %+v, want %+v", w, want)
		}
	}
	if !lines.Grant(lease) {
		t.Fatal("no line to grant on")
	}
	eventually(t, "the lease comes", func() bool { _, n := got.counts(); return n == 1 })
	back := got.leases[0]
	back.Load.At = time.Time{}
	if lease.Gateway = ""; back != lease {
		t.Errorf("granted %+v, want %+v", back, lease)
	}
	r.conns.cut()
	eventually(t, "another line", func() bool {
		talk.Reserve(to, want)
		n, _ := got.counts()
		return n > 100
	})
	if err := talk.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	talk.Reserve(to, want) // does nothing
	eventually(t, "the line is gone", func() bool { return !lines.Grant(lease) })
}

// TestNoLine is a node that grants nothing, and one that cannot be reached: nobody waits for them.
func TestNoLine(t *testing.T) {
	r := newRig(t, nil, Config{})
	talk := r.client.Talk(func(spec.NodeID, spec.Lease) { t.Error("granted") })
	for _, node := range []spec.NodeID{"b", "nobody"} {
		talk.Reserve(spec.Target{Node: node}, spec.Reservation{Seq: 1})
	}
	if err := talk.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCallCarriesALease and what else waits, which an older build leaves out.
func TestCallCarriesALease(t *testing.T) {
	target := spec.Target{Device: "d", Instance: "i"}
	call := spec.Call{RequestID: "r", Lease: 8, Waits: &spec.Reservation{Instance: "i", Seq: 3, Count: 2, Age: time.Second, Cost: 5}}
	_, back := callFromWire(callToWire(target, &call))
	if back.Lease != call.Lease || back.Waits == nil || *back.Waits != *call.Waits {
		t.Errorf("%+v became %+v", call.Waits, back.Waits)
	}
	call.Lease, call.Waits = 0, nil
	if w := callToWire(target, &call); w.Waits != nil || w.Lease != 0 {
		t.Errorf("sent %+v", w)
	}
}

func FuzzLine(f *testing.F) {
	f.Add(appendMessage(nil, &wire.Reservation{Instance: "i", Seq: 1, Count: 1}))
	f.Add(appendMessage(nil, &wire.Lease{Instance: "i", Id: 1, Load: []byte("x")}))
	f.Add([]byte{0, 0, 0, 1, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		var m wire.Reservation
		if readMessage(r, &m) == nil {
			if _, got := reservationFromWire(&m); got.Count < 0 || got.Cost < 0 || got.Age < 0 || got.Age > maxAge {
				t.Errorf("%+v", got)
			}
			if len(appendMessage(nil, &m)) == 0 && proto.Size(&m) <= maxLine {
				t.Error("it cannot be sent again")
			}
		}
		var l wire.Lease
		if readMessage(bytes.NewReader(b), &l) == nil && leaseFromWire(&l, time.Now()).Lasts < 0 {
			t.Error("a lease of the past")
		}
	})
}
