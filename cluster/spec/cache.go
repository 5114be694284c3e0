package spec

import "time"

// A CacheAsk says how a call may be answered by an answer that was kept, and its own be
// kept for others.
type CacheAsk struct {
	Sum      [32]byte // of the canonical request
	TTL      time.Duration
	MaxBytes uint64        // of the deployment's answers, at each actor
	MaxAge   time.Duration // an older answer will not do; 0: any
	Fresh    bool          // no answer will do that was begun before
	Only     bool          // no engine is to be asked: without an answer the call is rejected as busy
	Shared   bool          // of all tenants; else of the call's alone
}

// A CacheResult is how a call was answered.
type CacheResult string

// The results.
const (
	CacheHit    CacheResult = "hit"    // by an answer that was kept
	CacheJoined CacheResult = "joined" // by another call's, that was under way
	CacheMiss   CacheResult = "miss"   // by its own
)

// Cached is what a Stream has of a call that asked a cache.
type Cached interface {
	Cached() (how CacheResult, age time.Duration) // "": it did not
}
