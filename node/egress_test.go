package node

import (
	"errors"
	"net/netip"
	"testing"
)

func TestPortsOfTheCluster(t *testing.T) {
	asked := 0
	resolve := func(name string) ([]netip.Addr, error) {
		asked++
		if name == "one.example" {
			return []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.7")}, nil
		}
		return nil, errors.New("it is not known")
	}
	for _, c := range []struct {
		to, cluster, api string
		want             bool
		asked            int
	}{
		{"10.0.0.7:7946", "10.0.0.7:7946", "10.0.0.7:8080", true, 0},
		{"10.0.0.7:8080", "10.0.0.7:7946", "10.0.0.7:8080", true, 0},
		{"10.0.0.7:8000", "10.0.0.7:7946", "10.0.0.7:8080", false, 0},
		{"10.0.0.8:8080", "10.0.0.7:7946", "10.0.0.7:8080", false, 0},
		{"10.0.0.7:7946", "[::ffff:10.0.0.7]:7946", "", true, 0},
		{"10.0.0.7:8080", "10.0.0.7:7946", "0.0.0.0:8080", true, 0}, // all that it has
		{"10.0.0.7:8080", "10.0.0.7:7946", "[::]:8080", true, 0},
		{"10.0.0.7:8080", "10.0.0.7:7946", ":8080", true, 0},
		{"10.0.0.8:8080", "10.0.0.7:7946", ":8080", false, 0},
		{"10.0.0.7:7946", "one.example:7946", ":8080", true, 1}, // names
		{"10.0.0.7:8080", "one.example:7946", ":8080", true, 1},
		{"10.0.0.8:7946", "one.example:7946", ":8080", false, 1},
		{"10.0.0.8:7946", "lost.example:7946", "", true, 1},
		{"10.0.0.8:443", "one.example:7946", "lost.example:8080", false, 0},
		{"10.0.0.8:443", "", "", false, 0},
	} {
		asked = 0
		if got := isPortOf(netip.MustParseAddrPort(c.to), []string{c.cluster, c.api}, resolve); got != c.want || asked != c.asked {
			t.Errorf("%s of %q and %q: %t after %d look-ups", c.to, c.cluster, c.api, got, asked)
		}
	}
}
