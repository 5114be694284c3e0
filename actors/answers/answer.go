package answers

import "time"

// A Key names one answer. Tenant and version are part of it, so that no answer is
// found by another tenant's requests or another version's.
type Key struct {
	Tenant     string // empty: every tenant's, of a deployment that shares its answers
	Deployment string
	Version    uint64
	Sum        [32]byte // of the canonical request
}

// An Answer is the whole of an engine's, of status 200. It does not change.
type Answer struct {
	ContentType string
	Body        []byte
	At          time.Time // when it was whole
	By          string    // the tenant whose request it was made for, also where it is for all
}

// overhead is what an entry is counted with beside its texts: its record, its place in
// the lists and in the table.
const overhead = 384

// sizeOf is how many bytes the entry is counted with.
func sizeOf(k *Key, a *Answer) int {
	return overhead + len(k.Tenant) + len(k.Deployment) + len(a.ContentType) + len(a.By) + cap(a.Body)
}

// hash spreads keys over a sketch.
func (k *Key) hash() uint64 {
	h := uint64(14695981039346656037) ^ k.Version
	for i := range len(k.Tenant) {
		h = (h ^ uint64(k.Tenant[i])) * 1099511628211
	}
	for i := range 8 {
		h ^= uint64(k.Sum[i]) << (8 * i)
	}
	return h
}
