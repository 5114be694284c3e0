package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

// ErrAudit is wrapped by VerifyAudit's error.
var ErrAudit = errors.New("the audit log is not as it was written")

// An AuditFilter says which entries of the audit log are wanted: those for which
// every field that is set fits.
type AuditFilter struct {
	Actor, Target, Tenant string
	FromMS, ToMS          int64 // from FromMS on, before ToMS, by the entries' clocks; 0: no bound
	Newest                bool  // newest first
}

// auditLook bounds how many entries one page looks at.
const auditLook = 10_000

// Audit returns a page of the audit log. Without a filter it is in the order of
// the entries' numbers, and with one in that of their clocks, which may differ
// where the clocks of the nodes do. A filter of several fields goes by the index
// of one of them and may give fewer entries than limit, even none, although more
// follow: the end is where next is "". A limit below 1 means 100.
func (s *Store) Audit(f AuditFilter, cursor string, limit int) (page []*wire.AuditEntry, next string) {
	if limit < 1 {
		limit = usualPage
	}
	at, err := hex.DecodeString(cursor)
	if err != nil { // none of this function's
		return nil, ""
	}
	type paged struct {
		page []*wire.AuditEntry
		last []byte
		more bool
	}
	got := current(s, func(v view) (p paged) {
		prefix, low, high := f.bounds(at)
		looked := 0
		v.walkBetween(low, high, f.Newest, func(key, value []byte) bool {
			if p.more = len(p.page) == limit || looked == auditLook; p.more {
				return false
			}
			looked++
			p.last = bytes.Clone(key[len(prefix):])
			var e *wire.AuditEntry
			if ok := len(value) > 0; ok {
				e = audits.decode(value)
			} else if e, ok = audits.get(v, string(key[len(key)-8:])); !ok {
				return true
			}
			if f.fits(e) {
				p.page = append(p.page, e)
			}
			return true
		})
		return p
	})
	if !got.more {
		return got.page, ""
	}
	return got.page, hex.EncodeToString(got.last)
}

// bounds are of the keys to walk, within a generation: from low on, before high.
// What is after prefix in the key last seen is where the walk goes on.
func (f AuditFilter) bounds(last []byte) (prefix, low, high []byte) {
	switch {
	case f.Target != "":
		prefix = indexKey(byAuditTarget, f.Target, "")
	case f.Actor != "":
		prefix = indexKey(byAuditActor, f.Actor, "")
	case f.Tenant != "":
		prefix = indexKey(byAuditTenant, f.Tenant, "")
	case f.FromMS > 0 || f.ToMS > 0:
		prefix = []byte{byAuditTime}
	default:
		prefix = []byte{audits.id}
	}
	low, high = prefix, after(prefix)
	if f.FromMS > 0 {
		low = append(bytes.Clone(prefix), be(uint64(f.FromMS))...)
	}
	if f.ToMS > 0 {
		high = append(bytes.Clone(prefix), be(uint64(f.ToMS))...)
	}
	if len(last) > 0 {
		if here := append(bytes.Clone(prefix), last...); f.Newest && bytes.Compare(here, high) < 0 {
			high = here
		} else if !f.Newest && bytes.Compare(here, low) >= 0 {
			low = append(here, 0)
		}
	}
	return prefix, low, high
}

func (f AuditFilter) fits(e *wire.AuditEntry) bool {
	return (f.Actor == "" || e.GetActor() == f.Actor) && (f.Target == "" || e.GetTarget() == f.Target) &&
		(f.Tenant == "" || e.GetTenant() == f.Tenant) && (f.FromMS <= 0 || e.GetAtMs() >= f.FromMS) && (f.ToMS <= 0 || e.GetAtMs() < f.ToMS)
}

// walkBetween calls each with the keys from low on and before high, all of them
// within the generation, backwards where asked, until it returns false.
func (v view) walkBetween(low, high []byte, backwards bool, each func(key, value []byte) bool) {
	it, err := v.from.NewIter(&pebble.IterOptions{LowerBound: v.key(low), UpperBound: v.key(high)})
	must(err)
	defer func() { must(it.Close()) }()
	begin, step := it.First, it.Next
	if backwards {
		begin, step = it.Last, it.Prev
	}
	for ok := begin(); ok; ok = step() {
		value, err := it.ValueAndErr()
		must(err)
		if !each(it.Key()[len(v.prefix):], value) {
			break
		}
	}
	must(it.Error())
}

// AuditHead is the number and the hash of the newest entry of the audit log: 0
// and nil where there is none.
func (s *Store) AuditHead() (seq uint64, hash []byte) {
	type end struct {
		seq  uint64
		hash []byte
	}
	e := current(s, func(v view) (e end) {
		v.walkBetween([]byte{audits.id}, []byte{audits.id + 1}, true, func(_, value []byte) bool {
			last := audits.decode(value)
			e = end{last.GetSeq(), last.GetHash()}
			return false
		})
		return e
	})
	return e.seq, e.hash
}

// VerifyAudit checks that entries, which must follow one another by number, are as
// they were written and that none is missing between them. That the first is the
// first kept and the last the newest is for the caller to see (AuditHead). The error
// wraps ErrAudit and names the entry.
func VerifyAudit(entries []*wire.AuditEntry) error {
	for i, e := range entries {
		if i > 0 {
			before := entries[i-1]
			if want := before.GetSeq() + 1; e.GetSeq() != want {
				return fmt.Errorf("%w: entry %d comes where entry %d should be", ErrAudit, e.GetSeq(), want)
			}
			if !bytes.Equal(e.GetPrevious(), before.GetHash()) {
				return fmt.Errorf("%w: entry %d does not follow the entry %d that is there", ErrAudit, e.GetSeq(), before.GetSeq())
			}
		}
		if len(e.GetHash()) != hashBytes || !bytes.Equal(e.GetHash(), auditHash(e)) {
			return fmt.Errorf("%w: entry %d was changed: its hash is not that of its content", ErrAudit, e.GetSeq())
		}
	}
	return nil
}

// auditHash is the hash that an entry must have.
func auditHash(e *wire.AuditEntry) []byte {
	bare := proto.CloneOf(e)
	bare.Hash = nil
	raw, err := marshal.Marshal(bare)
	if err != nil { // text that is not UTF-8, which no entry has
		return nil
	}
	sum := sha256.Sum256(raw)
	return sum[:]
}
