package node

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/state"
)

// revocations knows which keys are no longer in force, or will not be from some
// time on. The serving node asks it of every request, whatever the gateway knew.
type revocations struct {
	ends atomic.Pointer[map[string]int64] // key id -> Unix ms from which it is not in force; keys without an end are not here
	mu   sync.Mutex                       // of writers
}

// keyReader is the part of the state that revocations follow.
type keyReader interface {
	Key(id string) (*wire.APIKey, bool)
	Keys(tenant, cursor string, limit int) (page []*wire.APIKey, next string)
}

func newRevocations() *revocations {
	r := &revocations{}
	r.ends.Store(&map[string]int64{})
	return r
}

// revoked tells whether the key is known to be out of force at now.
func (r *revocations) revoked(key string, now time.Time) bool {
	end, ok := (*r.ends.Load())[key]
	return ok && now.UnixMilli() >= end
}

// follow takes over what an applied entry changed.
func (r *revocations) follow(c state.Change, keys keyReader) {
	if c.Reset {
		r.reset(keys)
		return
	}
	for _, ref := range c.Records {
		if ref.Kind == state.KindKey {
			r.put(ref.ID, keys)
		}
	}
}

func (r *revocations) put(id string, keys keyReader) {
	k, ok := keys.Key(id)
	end := endOf(k)
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.ends.Load()
	if had, known := old[id]; ok && known && had == end || !known && (!ok || end == 0) {
		return
	}
	next := make(map[string]int64, len(old)+1)
	for key, at := range old {
		next[key] = at
	}
	delete(next, id)
	if ok && end != 0 {
		next[id] = end
	}
	r.ends.Store(&next)
}

func (r *revocations) reset(keys keyReader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := map[string]int64{}
	for cursor := ""; ; {
		page, more := keys.Keys("", cursor, 1000)
		for _, k := range page {
			if end := endOf(k); end != 0 {
				next[k.GetId()] = end
			}
		}
		if more == "" {
			break
		}
		cursor = more
	}
	r.ends.Store(&next)
}

// endOf is when the key ends, Unix ms; 0: it does not.
func endOf(k *wire.APIKey) int64 {
	if at := k.GetRevokedMs(); at != 0 {
		return 1 // at once, however the clocks stand
	}
	return k.GetExpiresMs()
}
