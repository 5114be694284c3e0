package node

import (
	"iter"
	"maps"
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
	KeysOf(owner, cursor string, limit int) (page []*wire.APIKey, next string)
	User(id string) (*wire.User, bool)
}

// sessionCredential begins what a call of a session has for a key; the session's
// id follows.
const sessionCredential = "session/"

// sessionReader is the part of the state that tells of sessions.
type sessionReader interface {
	Session(id string) (*wire.Session, bool)
	User(id string) (*wire.User, bool)
}

// sessionEnded tells whether a session is known to have ended at now, or its user
// to be disabled. One that is not known yet is the gateway's to judge.
func sessionEnded(r sessionReader, id string, now time.Time) bool {
	s, ok := r.Session(id)
	if !ok {
		return false
	}
	u, ok := r.User(s.GetUser())
	return !ok || u.GetDisabledMs() != 0 || s.GetRevokedMs() != 0 || now.UnixMilli() >= s.GetExpiresMs()
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
		switch ref.Kind {
		case state.KindKey:
			k, _ := keys.Key(ref.ID)
			r.put(ref.ID, endOf(k, keys))
		case state.KindUser: // a key ends with its owner, and goes on with it
			for k := range pagesOf(keys.KeysOf, ref.ID) {
				r.put(k.GetId(), endOf(k, keys))
			}
		}
	}
}

// put has the key end at that time; 0: never, as far as is known.
func (r *revocations) put(id string, end int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.ends.Load()
	if old[id] == end {
		return
	}
	next := maps.Clone(old)
	if end == 0 {
		delete(next, id)
	} else {
		next[id] = end
	}
	r.ends.Store(&next)
}

func (r *revocations) reset(keys keyReader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := map[string]int64{}
	for k := range pagesOf(keys.Keys, "") {
		if end := endOf(k, keys); end != 0 {
			next[k.GetId()] = end
		}
	}
	r.ends.Store(&next)
}

// pagesOf goes through all keys that a listing has under name.
func pagesOf(list func(name, cursor string, limit int) ([]*wire.APIKey, string), name string) iter.Seq[*wire.APIKey] {
	return func(yield func(*wire.APIKey) bool) {
		for cursor := ""; ; {
			page, next := list(name, cursor, 1000)
			for _, k := range page {
				if !yield(k) {
					return
				}
			}
			if cursor = next; next == "" {
				return
			}
		}
	}
}

const atOnce = 1 // however the clocks stand

// endOf is when the key ends, Unix ms; 0: it does not.
func endOf(k *wire.APIKey, users keyReader) int64 {
	if k.GetRevokedMs() != 0 {
		return atOnce
	}
	if k.GetOwner() != "" {
		if u, ok := users.User(k.GetOwner()); !ok || u.GetDisabledMs() != 0 {
			return atOnce
		}
	}
	return k.GetExpiresMs()
}
