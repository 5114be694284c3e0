package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// A Policy says which addresses may be dialled. The zero policy allows public ones.
type Policy struct {
	Ranges  []netip.Prefix            // that may be dialled as well
	Cluster func(netip.AddrPort) bool // tells a port of the cluster's nodes; nil: none is known
}

// Refused is the error of a dial that the policy does not allow.
type Refused struct {
	Address netip.AddrPort
	Why     string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("%s may not be dialled: it is %s", r.Address, r.Why)
}

// special are the ranges that are no public addresses, with what they are. Those that carry an IPv4
// address inside are among them, since where they lead depends on the network.
var special = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("10.0.0.0/8"), "a private address"},
	{netip.MustParsePrefix("172.16.0.0/12"), "a private address"},
	{netip.MustParsePrefix("192.168.0.0/16"), "a private address"},
	{netip.MustParsePrefix("100.64.0.0/10"), "a private address"},
	{netip.MustParsePrefix("fc00::/7"), "a private address"},
	{netip.MustParsePrefix("fec0::/10"), "a private address"},
	{netip.MustParsePrefix("0.0.0.0/8"), "an address of this machine"},
	{netip.MustParsePrefix("::/96"), "a special address"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a special address"},
	{netip.MustParsePrefix("198.18.0.0/15"), "a special address"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a special address"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "a special address"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a special address"},
	{netip.MustParsePrefix("64:ff9b::/96"), "a special address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a special address"},
	{netip.MustParsePrefix("2001::/32"), "a special address"},
	{netip.MustParsePrefix("2002::/16"), "a special address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
}

// Check tells whether to may be dialled; the error is *Refused. host is the URL's host and port: where
// it is an address, the operator who listed the URL has listed that address, and localhost is one.
func (p Policy) Check(to netip.AddrPort, host string) error {
	to = plain(to)
	if listed(to, host) {
		return nil
	}
	if p.Cluster != nil && p.Cluster(to) {
		return &Refused{to, "a port of the cluster's own nodes"}
	}
	for _, r := range p.Ranges {
		if r.Contains(to.Addr()) {
			return nil
		}
	}
	for _, s := range special {
		if s.prefix.Contains(to.Addr()) {
			return &Refused{to, s.what + " that is not listed"}
		}
	}
	return nil
}

// plain is an address without the ways to write it otherwise.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

func listed(to netip.AddrPort, host string) bool {
	if name, port, err := net.SplitHostPort(host); err == nil && strings.EqualFold(name, "localhost") {
		return to.Addr().IsLoopback() && port == fmt.Sprint(to.Port())
	}
	a, err := netip.ParseAddrPort(host)
	return err == nil && plain(a) == to
}

// Dial connects as net.Dialer does, for a URL of that host and port, where the policy allows it. Each of
// the addresses that a name has is judged by itself.
func (p Policy) Dial(host string, timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: timeout, Control: p.control(host)}
	return d.DialContext
}

// control judges the address of a socket that is about to connect: nothing looks a name up any more.
func (p Policy) control(host string) func(network, address string, _ syscall.RawConn) error {
	return func(network, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !strings.HasPrefix(network, "tcp") {
			return fmt.Errorf("%s %s is no address to dial", network, address)
		}
		return p.Check(to, host)
	}
}

// maxRedirects bounds a chain of them.
const maxRedirects = 5

// Client follows redirects, each to where the policy allows, never from https to http; only the first
// URL's own host counts as listed. It uses no proxy, which would dial in its place.
func (p Policy) Client(first *url.URL, timeout time.Duration) *http.Client {
	host := hostPort(first)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		from := "" // an address that a redirect names is not the operator's
		if strings.EqualFold(address, host) {
			from = host
		}
		return p.Dial(from, timeout)(ctx, network, address)
	}
	return &http.Client{
		Transport: &http.Transport{DialContext: dial, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, ForceAttemptHTTP2: true, IdleConnTimeout: timeout},
		CheckRedirect: func(r *http.Request, before []*http.Request) error {
			switch {
			case len(before) > maxRedirects:
				return errors.New("there are too many redirects")
			case r.URL.Scheme != "https" && before[len(before)-1].URL.Scheme == "https":
				return errors.New("a redirect leads from https to " + r.URL.Scheme)
			case r.URL.User != nil:
				return errors.New("a redirect has a user in it")
			}
			return nil
		},
	}
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
