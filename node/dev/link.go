package dev

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// A Link is where a node listens for the others, and where they are told that
// it does: a harness that wants to cut nodes off stands in between.
type Link struct{ Listen, Advertise string } // host:port

// ParseLink reads LISTEN=ADVERTISE.
func ParseLink(s string) (Link, error) {
	listen, advertise, ok := strings.Cut(s, "=")
	if !ok {
		return Link{}, fmt.Errorf("link %q: want LISTEN=ADVERTISE", s)
	}
	for _, addr := range []string{listen, advertise} {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return Link{}, fmt.Errorf("link %q: %w", s, err)
		}
		if n, err := strconv.Atoi(port); host == "" || err != nil || n < 1 || n > 65535 {
			return Link{}, fmt.Errorf("link %q: want HOST:PORT, and got %q", s, addr)
		}
	}
	return Link{Listen: listen, Advertise: advertise}, nil
}

func (l Link) String() string { return l.Listen + "=" + l.Advertise }

// link returns the i-th node's: as asked for, else a free port without anything
// in between, whose Listen is empty.
func (c *Cluster) link(i int, taken map[int]bool) (Link, error) {
	if len(c.options.Links) > 0 {
		return c.options.Links[i], nil
	}
	port, err := freePort("127.0.0.1", taken)
	return Link{Advertise: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}, err
}
