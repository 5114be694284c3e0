package auth

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// confines is what narrows a key beyond its scopes. An empty list is no bound.
type confines struct {
	models    []string
	regions   []string
	endpoints []string
	addresses []netip.Prefix
	noAddress bool // none of the key's ranges can be read: it may come from nowhere
}

// confinesOf returns nil where nothing is confined.
func confinesOf(k *wire.APIKey) *confines {
	if len(k.GetModels())+len(k.GetRegions())+len(k.GetEndpoints())+len(k.GetAddresses()) == 0 {
		return nil
	}
	c := &confines{models: k.GetModels(), regions: k.GetRegions(), endpoints: k.GetEndpoints()}
	for _, text := range k.GetAddresses() {
		if a, err := ParseAddress(text); err == nil {
			c.addresses = append(c.addresses, a)
		}
	}
	c.noAddress = len(k.GetAddresses()) > 0 && len(c.addresses) == 0
	return c
}

func matchAny[N ~string | ~[]byte](patterns []string, name N) bool {
	for _, p := range patterns {
		if access.Match(p, name) {
			return true
		}
	}
	return len(patterns) == 0
}

// ParseAddress reads a range of addresses, 10.0.0.0/8, or a single one.
func ParseAddress(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("address %.80q: want a range such as 10.0.0.0/8 or 2001:db8::/32, or one address", text)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("address %.80q: write the range of IPv4 as such", text)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// Confined tells whether the principal is a key that is narrowed to some models,
// regions, endpoints or addresses.
func (p *Principal) Confined() bool { return p.confines != nil }

// CheckEndpoint tells what is wrong with a pattern of paths.
func CheckEndpoint(pattern string) error {
	if len(pattern) > 200 || !strings.HasPrefix(pattern, "/") || strings.ContainsFunc(pattern, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '?' || c == '#' }) {
		return fmt.Errorf("endpoint %.80q: want a path such as /v1/embeddings, or a pattern such as /v1/*", pattern)
	}
	return nil
}

// AddressAllowed tells whether the principal may come from there.
func (p *Principal) AddressAllowed(from netip.Addr) bool {
	if p.confines == nil || len(p.confines.addresses) == 0 {
		return p.confines == nil || !p.confines.noAddress
	}
	from = from.Unmap().WithZone("")
	for _, r := range p.confines.addresses {
		if r.Contains(from) {
			return true
		}
	}
	return false
}

// EndpointAllowed tells whether the principal may ask for that path.
func (p *Principal) EndpointAllowed(path []byte) bool {
	return p.confines == nil || matchAny(p.confines.endpoints, path)
}

// Regions is where the principal's requests may be served; empty: anywhere. It
// must not be changed.
func (p *Principal) Regions() []string {
	if p.confines == nil {
		return nil
	}
	return p.confines.regions
}

func (p *Principal) modelAllowed(name string) bool {
	return p.confines == nil || matchAny(p.confines.models, name)
}
