package gateway

import (
	"net/netip"
	"strings"
	"testing"
)

// FuzzForwarded: whatever the header says, the address is the peer's or one that the header
// names, and one behind a hop that is not trusted is never believed.
func FuzzForwarded(f *testing.F) {
	f.Add("10.0.0.9", "")
	f.Add("1.2.3.4, 10.0.0.2", "10.0.0.3,::ffff:10.0.0.4")
	f.Add("fe80::1%eth0,x,", ",,")
	proxies := netip.MustParsePrefix("10.0.0.0/8")
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, first, second string) {
		got := forwarded(peer, [][]byte{[]byte(first), []byte(second)}, proxies.Contains)
		all := strings.Split(first+","+second, ",")
		for i := len(all) - 1; i >= 0; i-- {
			hop, err := netip.ParseAddr(strings.TrimSpace(all[i]))
			if err == nil && !proxies.Contains(hop.Unmap()) {
				if got != hop.Unmap() {
					t.Fatalf("%q, %q: %v", first, second, got)
				}
				return
			}
			if err != nil {
				break
			}
		}
		if !proxies.Contains(got) {
			t.Fatalf("%q, %q: %v is believed", first, second, got)
		}
	})
}
