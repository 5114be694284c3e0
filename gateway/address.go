package gateway

import (
	"net"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"
)

// addr is the client's address: of the connection, or where that is a trusted
// proxy's, the last one in X-Forwarded-For that is not.
func (r *request) addr() netip.Addr {
	peer := peerOf(r.ctx)
	if !r.g.trusted(peer) {
		return peer
	}
	return forwarded(peer, r.ctx.Request.Header.PeekAll(fasthttp.HeaderXForwardedFor), r.g.trusted)
}

// forwarded is the last of the hops that is not trusted, or the first of them all. What comes
// before one that is no address is whatever the client liked to send.
func forwarded(peer netip.Addr, hops [][]byte, trusted func(netip.Addr) bool) netip.Addr {
	for i := len(hops) - 1; i >= 0; i-- {
		parts := strings.Split(string(hops[i]), ",")
		for j := len(parts) - 1; j >= 0; j-- {
			hop, err := netip.ParseAddr(strings.TrimSpace(parts[j]))
			if err != nil {
				return peer
			}
			if peer = hop.Unmap(); !trusted(peer) {
				return peer
			}
		}
	}
	return peer
}

// from is addr as records keep it.
func (r *request) from() string { return r.addr().String() }

func peerOf(ctx *fasthttp.RequestCtx) netip.Addr {
	if tcp, ok := ctx.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (g *Gateway) trusted(a netip.Addr) bool {
	for _, p := range g.cfg.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
