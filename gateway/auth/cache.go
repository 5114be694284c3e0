package auth

import (
	"encoding/binary"
	"sync/atomic"
)

const (
	cacheSets = 8192
	cacheWays = 4
)

// A cache keeps proven tokens by the SHA-256 of their text: 32,768 at most, in
// sets of four. It is read and written without a lock; of two writes to one place
// one is lost, and its token is proven once more.
type cache struct {
	sets [cacheSets][cacheWays]atomic.Pointer[proven]
}

func (c *cache) set(sum *[32]byte) *[cacheWays]atomic.Pointer[proven] {
	return &c.sets[binary.LittleEndian.Uint64(sum[:])%cacheSets]
}

func (c *cache) get(sum *[32]byte) *proven {
	set := c.set(sum)
	for i := range set {
		if p := set[i].Load(); p != nil && p.sum == *sum {
			return p
		}
	}
	return nil
}

// put takes the place of the same token, of one that has ended, or of the one
// that ends first.
func (c *cache) put(p *proven, now int64) {
	set := c.set(&p.sum)
	at, ends := 0, int64(0)
	for i := range set {
		old := set[i].Load()
		if old == nil || old.sum == p.sum || old.until <= now || old.signing != p.signing {
			at = i
			break
		}
		if ends == 0 || old.until < ends {
			at, ends = i, old.until
		}
	}
	set[at].Store(p)
}
