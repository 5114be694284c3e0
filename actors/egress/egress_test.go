package egress

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var member = netip.MustParseAddrPort("10.0.0.7:7946")

func policy(ranges ...string) Policy {
	p := Policy{Cluster: func(a netip.AddrPort) bool { return a == member }}
	for _, r := range ranges {
		p.Ranges = append(p.Ranges, netip.MustParsePrefix(r))
	}
	return p
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		to, host string
		ranges   []string
		ok       bool
	}{
		{"93.184.216.34:443", "example.com:443", nil, true},
		{"[2606:2800:220:1::1]:443", "example.com:443", nil, true},
		{"127.0.0.1:80", "evil.example:80", nil, false},
		{"127.8.9.1:80", "evil.example:80", nil, false},
		{"[::1]:80", "evil.example:80", nil, false},
		{"[::ffff:127.0.0.1]:80", "evil.example:80", nil, false},
		{"[::ffff:169.254.169.254]:80", "evil.example:80", nil, false},
		{"[::127.0.0.1]:80", "evil.example:80", nil, false},
		{"[64:ff9b::7f00:1]:80", "evil.example:80", nil, false},
		{"[2002:7f00:1::]:80", "evil.example:80", nil, false},
		{"[::ffff:0:127.0.0.1]:80", "evil.example:80", nil, false},
		{"192.88.99.1:80", "evil.example:80", nil, false},
		{"169.254.169.254:80", "evil.example:80", nil, false},
		{"[fe80::1%lo]:80", "evil.example:80", nil, false},
		{"[fd00:ec2::254]:80", "evil.example:80", nil, false},
		{"10.1.2.3:80", "evil.example:80", nil, false},
		{"100.64.0.1:80", "evil.example:80", nil, false},
		{"0.0.0.0:80", "evil.example:80", nil, false},
		{"[::]:80", "evil.example:80", nil, false},
		{"224.0.0.1:80", "evil.example:80", nil, false},
		{"255.255.255.255:80", "evil.example:80", nil, false},
		// listed
		{"10.1.2.3:80", "vllm.corp:80", []string{"10.1.0.0/16"}, true},
		{"[::ffff:10.1.2.3]:80", "vllm.corp:80", []string{"10.1.0.0/16"}, true},
		{"10.2.2.3:80", "vllm.corp:80", []string{"10.1.0.0/16"}, false},
		{"127.0.0.1:8000", "127.0.0.1:8000", nil, true},
		{"127.0.0.1:8001", "127.0.0.1:8000", nil, false},
		{"127.0.0.2:8000", "127.0.0.1:8000", nil, false},
		{"[::1]:8000", "[::1]:8000", nil, true},
		{"[::1]:8000", "localhost:8000", nil, true},
		{"127.0.0.1:8000", "LocalHost:8000", nil, true},
		{"10.0.0.1:8000", "localhost:8000", nil, false},
		{"127.0.0.1:9", "localhost:8000", nil, false},
		{"127.0.0.1:8000", "localhost.evil.example:8000", nil, false},
		// the cluster's own
		{"10.0.0.7:7946", "evil.example:7946", []string{"10.0.0.0/8"}, false},
		{"[::ffff:10.0.0.7]:7946", "evil.example:7946", []string{"10.0.0.0/8"}, false},
		{"10.0.0.7:8000", "vllm.corp:8000", []string{"10.0.0.0/8"}, true},
		{"10.0.0.7:7946", "10.0.0.7:7946", nil, true},
	} {
		err := policy(c.ranges...).Check(netip.MustParseAddrPort(c.to), c.host)
		if (err == nil) != c.ok {
			t.Errorf("%s for %s with %q: %v", c.to, c.host, c.ranges, err)
		}
		if refused := (*Refused)(nil); err != nil && !errors.As(err, &refused) {
			t.Errorf("%s: %T", c.to, err)
		}
	}
}

// rebound dials the address that a name has this time, as a resolver of the attacker's would have it.
func TestRebinding(t *testing.T) {
	var reached atomic.Bool
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer inside.Close()
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	// The name was public when it was checked; the socket goes to loopback.
	dial := policy().Dial("evil.example:"+port, time.Second)
	conn, err := dial(t.Context(), "tcp", "127.0.0.1:"+port)
	if refused := (*Refused)(nil); !errors.As(err, &refused) {
		t.Errorf("%v, %v", conn, err)
	}
	if conn, err := policy("127.0.0.0/8").Dial("evil.example:"+port, time.Second)(t.Context(), "tcp", "127.0.0.1:"+port); err != nil {
		t.Errorf("a listed range: %v", err)
	} else {
		conn.Close()
	}
	if reached.Load() {
		t.Error("it was asked")
	}
}

func TestRedirects(t *testing.T) {
	var reached atomic.Bool
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer inside.Close()
	for _, to := range []string{"http://169.254.169.254/latest/meta-data/", inside.URL, "http://[::ffff:127.0.0.1]:1/", "http://user:secret@example.com/", "ftp://example.com/"} {
		server := httptest.NewServer(http.RedirectHandler(to, http.StatusFound))
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		client := policy().Client(u, 2*time.Second)
		r, err := client.Get(server.URL) // itself an address that is listed
		if err == nil {
			r.Body.Close()
			t.Errorf("the redirect to %s was followed", to)
		} else if strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s was tried: %v", to, err)
		}
		client.CloseIdleConnections()
		server.Close()
	}
	if reached.Load() {
		t.Error("what is inside was asked")
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"127.0.0.1:80", "[::ffff:10.0.0.1]:80", "8.8.8.8:53", "[fe80::1%x]:1"} {
		f.Add(s, "a.example:80")
	}
	f.Fuzz(func(t *testing.T, address, host string) {
		to, err := netip.ParseAddrPort(address)
		if err != nil || policy().Check(to, host) != nil {
			return
		}
		if a := to.Addr().Unmap(); (a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified()) && !listed(plain(to), host) {
			t.Errorf("%s for %s", to, host)
		}
	})
}
