package gateway

import (
	"slices"

	"github.com/lotabots/lotabots/cluster/wire"
)

// Which answers of a deployment are kept.
const (
	cacheOff           = "off"
	cacheDeterministic = "deterministic"
	cacheOpted         = "opted"

	cacheOfTenant = "tenant" // whose requests an answer is for: its own
	cacheShared   = "shared" // everybody's
)

// Bounds and defaults of how they are kept.
const (
	usualCacheTTL   = 3600 // seconds
	mostCacheTTL    = 30 * 24 * 3600
	usualCacheBytes = 64 << 20
	leastCacheBytes = 1 << 20
	mostCacheBytes  = 1 << 40
)

// cacheForm is the part of a deployment that says which of its answers are kept for
// requests that ask the same, as a client gives it and is shown it.
type cacheForm struct {
	Cache           string `json:"cache"`
	CacheTTLSeconds int64  `json:"cache_ttl_seconds"`
	CacheMaxBytes   uint64 `json:"cache_max_bytes"`
	CacheScope      string `json:"cache_scope"`
}

func viewCache(d *wire.Deployment) cacheForm {
	c := d.GetCache()
	if c == nil {
		return cacheForm{Cache: cacheOff, CacheTTLSeconds: usualCacheTTL, CacheMaxBytes: usualCacheBytes, CacheScope: cacheOfTenant}
	}
	v := cacheForm{Cache: cacheDeterministic, CacheTTLSeconds: c.GetTtlMs() / 1000, CacheMaxBytes: c.GetMaxBytes(), CacheScope: cacheOfTenant}
	if c.GetShare() {
		v.CacheScope = cacheShared
	}
	if c.GetOpted() {
		v.Cache = cacheOpted
	}
	return v
}

func (c *cacheForm) on() bool { return c.Cache == cacheDeterministic || c.Cache == cacheOpted }

func (c *cacheForm) check(f *form, tenant string) {
	f.check(slices.Contains([]string{"", cacheOff, cacheDeterministic, cacheOpted}, c.Cache), "cache", "must be off, deterministic or opted")
	f.check(c.CacheTTLSeconds >= 0 && c.CacheTTLSeconds <= mostCacheTTL, "cache_ttl_seconds", "must be from 1 to 2592000, which is 30 days; 0 is the default of an hour")
	f.check(c.CacheMaxBytes == 0 || c.CacheMaxBytes >= leastCacheBytes && c.CacheMaxBytes <= mostCacheBytes, "cache_max_bytes", "must be from 1048576, a MiB, to 1099511627776, a TiB; 0 is the default of 64 MiB")
	f.check(slices.Contains([]string{"", cacheOfTenant, cacheShared}, c.CacheScope), "cache_scope", "must be tenant or shared")
	f.check(c.CacheScope != cacheShared || tenant == "", "cache_scope", "must be tenant: shared is for deployments that no tenant owns")
	usual := (c.CacheTTLSeconds == 0 || c.CacheTTLSeconds == usualCacheTTL) && (c.CacheMaxBytes == 0 || c.CacheMaxBytes == usualCacheBytes) && c.CacheScope != cacheShared
	f.check(c.on() || usual, "cache", "is off, while another field says how answers are kept: say deterministic or opted")
}

// put writes it into a deployment. What keeps nothing leaves no trace there, so that a
// cluster with older members takes it.
func (c *cacheForm) put(d *wire.Deployment) {
	if !c.on() {
		return
	}
	d.Cache = &wire.AnswerCache{Opted: c.Cache == cacheOpted, TtlMs: c.CacheTTLSeconds * 1000, MaxBytes: c.CacheMaxBytes, Share: c.CacheScope == cacheShared}
	if d.Cache.TtlMs == 0 {
		d.Cache.TtlMs = usualCacheTTL * 1000
	}
	if d.Cache.MaxBytes == 0 {
		d.Cache.MaxBytes = usualCacheBytes
	}
}
