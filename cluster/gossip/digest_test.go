package gossip

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
)

func counter(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].Metric[0].GetCounter().GetValue()
}

type digest struct {
	from spec.NodeID
	raw  []byte
}

func TestDigestsReachTheirMember(t *testing.T) {
	_, _, all := three(t, nil)
	got := make(chan digest, 1000)
	all[1].OnDigest(func(from spec.NodeID, raw []byte) { got <- digest{from, raw} })
	all[2].OnDigest(func(from spec.NodeID, raw []byte) { t.Errorf("c got a digest of %s", from) })
	full := bytes.Repeat([]byte("x"), MaxDigest)
	send := full
	for at := time.Now(); ; { // a datagram may get lost
		if err := all[0].SendDigest("b", send); err != nil {
			t.Fatal(err)
		}
		select {
		case d := <-got:
			if d.from != "a" || !bytes.Equal(d.raw, full) {
				t.Fatalf("got %d bytes of %s", len(d.raw), d.from)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
		if time.Since(at) > 30*time.Second {
			t.Fatal("no digest arrived")
		}
	}
}

func TestDigestsThatCannotBeSent(t *testing.T) {
	g := start(t, config("a", listen(t, newFabric())))
	if err := g.SendDigest("b", nil); !errors.Is(err, ErrNotAlive) {
		t.Errorf("to a stranger: %v", err)
	}
	if err := g.SendDigest("a", nil); !errors.Is(err, ErrNotAlive) {
		t.Errorf("to itself: %v", err)
	}
	if err := g.SendDigest("b", make([]byte, MaxDigest+1)); !errors.Is(err, ErrDigestTooLarge) {
		t.Errorf("a large one: %v", err)
	}
}

// TestFullDigestFitsOnePacket counts what goes over the wire.
func TestFullDigestFitsOnePacket(t *testing.T) {
	f := newFabric()
	pa, sink := listen(t, f), listen(t, f)
	c := config(strings.Repeat("a", 40), pa)
	c.Label = "lb-0123456789ab"
	g := start(t, c)
	g.table.put(Member{ID: "b", Addr: sink.Addr()})
	if err := g.SendDigest("b", make([]byte, MaxDigest)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	if err := sink.udp.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, _, err := sink.udp.ReadFrom(buf)
	if err != nil || n > packetSize {
		t.Errorf("the packet has %d bytes, want at most %d; %v", n, packetSize, err)
	}
	if bytes.Contains(buf[:n], make([]byte, 64)) {
		t.Error("the digest's zeros are to be seen in the packet: it is not encrypted")
	}
}

// TestUnencryptedPacketsAreIgnored sends what would be a digest, in clear and
// under another key, straight to the socket.
func TestUnencryptedPacketsAreIgnored(t *testing.T) {
	f := newFabric()
	pa, pb := listen(t, f), listen(t, f)
	a, b := start(t, config("a", pa)), start(t, config("b", pb, pa.Addr()))
	see(t, a, "a", "b")
	got := make(chan digest, 1000)
	a.OnDigest(func(from spec.NodeID, raw []byte) { got <- digest{from, raw} })
	const userMessage = 8
	frame := append([]byte{userMessage}, encodeDigest("b", []byte("forged"))...)
	labelled, err := memberlist.AddLabelHeaderToPacket(frame, "lb-test")
	if err != nil {
		t.Fatal(err)
	}
	sender := listen(t, f)
	before := counter(t, a.metrics.packets.WithLabelValues("in"))
	for range 20 {
		for _, packet := range [][]byte{frame, labelled, {}, {244}, bytes.Repeat([]byte{1}, 1300)} {
			if _, err := sender.udp.WriteTo(packet, pa.udp.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, 30*time.Second, "the packets have come in", func() bool { return counter(t, a.metrics.packets.WithLabelValues("in")) >= before+50 })
	for at := time.Now(); ; { // a real one comes through, and is the first to do so
		if err := b.SendDigest("a", []byte("real")); err != nil {
			t.Fatal(err)
		}
		select {
		case d := <-got:
			if string(d.raw) != "real" {
				t.Fatalf("a took %q", d.raw)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
		if time.Since(at) > 30*time.Second {
			t.Fatal("no digest arrived")
		}
	}
}

func TestDigestsOfTheDeadAreDropped(t *testing.T) {
	g := start(t, config("a", listen(t, newFabric())))
	got := make(chan digest, 10)
	g.OnDigest(func(from spec.NodeID, raw []byte) { got <- digest{from, raw} })
	d := &delegate{digests: g.digests, metrics: g.metrics}
	buf := encodeDigest("ghost", []byte("boo"))
	d.NotifyMsg(buf)
	d.NotifyMsg([]byte("garbage"))
	g.table.put(Member{ID: "b", Addr: "127.0.0.1:1"})
	buf = encodeDigest("b", []byte("kept"))
	d.NotifyMsg(buf)
	copy(buf, "overwritten") // memberlist does so
	if one := <-got; one.from != "b" || string(one.raw) != "kept" {
		t.Errorf("got %q of %s", one.raw, one.from)
	}
	for _, result := range []string{"stranger", "unreadable", "received"} {
		if n := counter(t, g.metrics.digests.WithLabelValues(result)); n != 1 {
			t.Errorf("%v digests were %s, want 1", n, result)
		}
	}
}

// TestSlowReaderHoldsNobodyUp fills the queue.
func TestSlowReaderHoldsNobodyUp(t *testing.T) {
	g := start(t, config("a", listen(t, newFabric())))
	g.table.put(Member{ID: "b", Addr: "127.0.0.1:1"})
	release := make(chan struct{})
	g.OnDigest(func(spec.NodeID, []byte) { <-release })
	d := &delegate{digests: g.digests, metrics: g.metrics}
	for range 2 * digestQueue {
		d.NotifyMsg(encodeDigest("b", nil))
	}
	close(release)
	if n := counter(t, g.metrics.digests.WithLabelValues("dropped")); n < digestQueue-1 {
		t.Errorf("%v digests were dropped, want at least %d", n, digestQueue-1)
	}
}
