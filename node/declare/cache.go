package declare

// Bounds of how answers are kept, as the admin API has them.
const (
	maxCacheTTL   = 30 * 24 * 3600 // seconds
	minCacheBytes = 1 << 20
)

func checkCache(d Document, bad func(field, reason string)) {
	mode, scope := text(d, "cache"), text(d, "cache_scope")
	ttl, bytes := d.Fields["cache_ttl_seconds"].(int64), d.Fields["cache_max_bytes"].(uint64)
	usual := ttl == 3600 && bytes == 64<<20 && scope == "tenant"
	switch {
	case mode != "off" && mode != "deterministic" && mode != "opted":
		bad("cache", "must be off, deterministic or opted")
	case mode == "off" && !usual:
		bad("cache", "is off, while another field says how answers are kept: say deterministic or opted")
	}
	if ttl < 1 || ttl > maxCacheTTL {
		bad("cache_ttl_seconds", "must be from 1 to 2592000, which is 30 days")
	}
	if bytes < minCacheBytes {
		bad("cache_max_bytes", "must be at least 1048576, a MiB")
	}
	if scope != "tenant" && (scope != "shared" || text(d, "tenant") != "") {
		bad("cache_scope", "must be tenant, or shared for a deployment that no tenant owns")
	}
}
