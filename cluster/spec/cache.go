package spec

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

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

// Of an answer that several calls share, what one of them comes to know need not be about
// the instance that it asked.
var (
	// ErrJoined is wrapped by the failure of an answer that was another call's, and had not begun.
	ErrJoined = errors.New("the answer was another call's")
	// ErrBehind is wrapped, beside ErrBroken, by the end of a stream whose reader was too
	// slow for those who read the same answer.
	ErrBehind = errors.New("others who read the same answer had to go on")
)

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

// SettingCachePurge names the setting that says which kept answers were dropped last.
// Each node drops them when it comes to know of the write: as it is in the log, none
// misses it, one that was cut off included.
const SettingCachePurge = "cache/last-purge"

// A CachePurge is its value: answers for which every field fits that is set.
type CachePurge struct {
	Tenant     string `json:"tenant,omitempty"`
	Deployment string `json:"deployment,omitempty"`
	Key        string `json:"key,omitempty"` // of the canonical request, in hexadecimal
	Request    string `json:"request"`       // id of who asked for it
}

// CachePurgeRule says what a value may be.
const CachePurgeRule = "is written by POST /admin/v1/cache/purge, as an object with tenant, deployment, key and request"

// ParseCachePurge reads a value, and its key; nil: any.
func ParseCachePurge(value string) (p CachePurge, sum *[32]byte, ok bool) {
	if json.Unmarshal([]byte(value), &p) != nil {
		return p, nil, false
	}
	if p.Key == "" {
		return p, nil, true
	}
	sum = new([32]byte)
	n, err := hex.Decode(sum[:], []byte(p.Key[:min(len(p.Key), 64)]))
	return p, sum, err == nil && n == len(sum) && len(p.Key) == 64
}
