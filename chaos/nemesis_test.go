package chaos

import (
	"net"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos/links"
)

// TestCutsHaveTheirDirection: what a plan calls in and out is what the node
// hears and says.
func TestCutsHaveTheirDirection(t *testing.T) {
	s, err := links.Open(3)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ends := make([]*net.UDPConn, 3)
	for i, l := range s.Links() {
		if ends[i], err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(l.Listen)); err != nil {
			t.Fatal(err)
		}
		defer ends[i].Close()
	}
	// passes tells whether a packet gets through: of those that are sent, the
	// marker comes last and takes a way that is never cut. Without one, who is
	// not to come is not waited for for long.
	passes := func(from, to, marker int, wanted bool) bool {
		buf := make([]byte, 10)
		at := net.UDPAddrFromAddrPort(s.Links()[to].Advertise)
		if _, err := ends[from].WriteToUDP([]byte("packet"), at); err != nil {
			t.Fatal(err)
		}
		limit := 100 * time.Millisecond
		if marker >= 0 || wanted {
			limit = 30 * time.Second
		}
		if marker >= 0 {
			if _, err := ends[marker].WriteToUDP([]byte("marker"), at); err != nil {
				t.Fatal(err)
			}
		}
		for got := false; ; {
			_ = ends[to].SetReadDeadline(time.Now().Add(limit))
			n, _, err := ends[to].ReadFromUDP(buf)
			if err != nil || string(buf[:n]) == "marker" {
				return got
			}
			if got = true; marker < 0 {
				return true
			}
		}
	}
	m := &nemesis{cluster: &cluster{links: s, nodes: make([]node, 3)}}
	for _, c := range []struct {
		direction Direction
		in, out   bool // pass
	}{{Both, false, false}, {In, false, true}, {Out, true, false}} {
		f := Fault{Kind: Cut, Node: 1, Direction: c.direction, Mode: links.Freeze}
		if err := m.strike(f, m.targets(f)); err != nil {
			t.Fatal(err)
		}
		for _, other := range []int{0, 2} {
			if got := passes(other, 1, -1, c.in); got != c.in {
				t.Errorf("%s: node %d to the cut one passes: %v", c.direction, other, got)
			}
			if got := passes(1, other, 2-other, c.out); got != c.out {
				t.Errorf("%s: the cut one to node %d passes: %v", c.direction, other, got)
			}
		}
		if !passes(0, 2, -1, true) {
			t.Errorf("%s: the others are cut off from each other", c.direction)
		}
		m.heal(t.Context(), f, m.targets(f))
		if !passes(0, 1, 2, true) || !passes(1, 0, 2, true) {
			t.Errorf("%s: still cut after it was healed", c.direction)
		}
	}
}
