package node

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lotabots/lotabots/actors/egress"
)

// egress is where engines that run elsewhere may be.
func (n *Node) egress() egress.Policy {
	p := egress.Policy{Cluster: n.ofCluster}
	for _, text := range n.config.Engines.ExternalRange {
		if r, err := netip.ParsePrefix(text); err == nil { // the configuration has been checked
			p.Ranges = append(p.Ranges, r.Masked())
		}
	}
	return p
}

// ofCluster tells a port that a node of the cluster has told of, as its cluster port or its gateway.
func (n *Node) ofCluster(a netip.AddrPort) bool {
	for _, m := range n.state.Nodes() {
		if isPortOf(a, []string{m.GetClusterAddr(), m.GetApiAddr()}, resolved) {
			return true
		}
	}
	return false
}

// isPortOf tells whether a is one of the addresses that a node has told. A host that stands for all that
// it has, such as 0.0.0.0, is the hosts of its other addresses. A name is looked up only where the port
// is the right one; what it is not known to be counts as a.
func isPortOf(a netip.AddrPort, told []string, resolve func(name string) ([]netip.Addr, error)) bool {
	var ports []string // of hosts that stand for all
	var hosts []netip.Addr
	wanted := strconv.Itoa(int(a.Port()))
	if !slices.ContainsFunc(told, func(text string) bool { return strings.HasSuffix(text, ":"+wanted) }) {
		return false
	}
	for _, text := range told {
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			continue
		}
		ip, err := netip.ParseAddr(host)
		if host == "" || err == nil && ip.IsUnspecified() {
			ports = append(ports, port)
			continue
		}
		found := []netip.Addr{ip}
		if err != nil {
			if found, err = resolve(host); err != nil && port == wanted {
				return true
			}
		}
		for i, ip := range found {
			found[i] = ip.Unmap().WithZone("")
		}
		if port == wanted && slices.Contains(found, a.Addr()) {
			return true
		}
		hosts = append(hosts, found...)
	}
	return slices.Contains(ports, wanted) && slices.Contains(hosts, a.Addr())
}

// resolveTime bounds a look-up, for which a dial waits.
const resolveTime = time.Second

func resolved(name string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}
