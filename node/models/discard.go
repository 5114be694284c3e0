package models

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/blobs"
)

// Causes of a removal.
const (
	causeOrphan   = "unknown"  // no record names it
	causePartial  = "left"     // it came in part, and is not wanted any more
	causeDamaged  = "damaged"  // it was set aside
	causePressure = "pressure" // others have it, and models.disk is exceeded
)

// A scene is what discard decides about.
type scene struct {
	view     View
	held     []blobs.Held
	now      time.Time
	needless map[string]time.Time // since when no record has named it, by digest
	inUse    map[string]bool
	grace    time.Duration
	limit    int64                    // bytes of whole models; 0: none
	safe     func(m *wire.Model) bool // all its homes have it

	promised  map[string]bool // copies that are kept for others, by digest
	importing bool            // a model may be here that the state is to know in a moment
}

// discard tells what is to go: what nobody needs, after the grace, and then, while
// there is too much, copies that are kept elsewhere, the least recently used first.
func discard(s scene) []Doomed {
	byDigest, want := map[string]*wire.Model{}, map[string]bool{}
	for _, m := range s.view.Models {
		byDigest[string(m.GetDigest())] = m
	}
	for _, m := range wanted(s.view) {
		want[string(m.GetDigest())] = true
	}
	whole := map[string]bool{}
	for _, h := range s.held {
		whole[string(h.Digest)] = whole[string(h.Digest)] || h.Kind == blobs.Whole
	}
	var out []Doomed
	total := int64(0)
	var spare []blobs.Held
	for _, h := range s.held {
		key, m := string(h.Digest), byDigest[string(h.Digest)]
		d := Doomed{Digest: hex.EncodeToString(h.Digest), Model: m.GetName(), Kind: string(h.Kind), Bytes: h.Bytes, InUse: s.inUse[key]}
		since := h.Used
		switch {
		case h.Kind == blobs.Damaged:
			d.Cause = causeDamaged
		case h.Kind == blobs.Partial && (whole[key] || !want[key] && (m == nil || s.safe(m))): // it may be a damaged copy's sound part, and the last
			d.Cause = causePartial
		case h.Kind == blobs.Whole && m == nil:
			d.Cause = causeOrphan
			if from, ok := s.needless[key]; ok && from.After(since) {
				since = from
			}
		case h.Kind == blobs.Whole:
			total += h.Bytes
			if !want[key] && !s.inUse[key] && !s.promised[key] {
				spare = append(spare, h)
			}
			continue
		default:
			continue
		}
		d.InMS = max(0, since.Add(s.grace).Sub(s.now).Milliseconds())
		out = append(out, d)
	}
	if s.limit > 0 {
		out = append(out, press(s, byDigest, spare, total)...)
	}
	return out
}

func press(s scene, byDigest map[string]*wire.Model, spare []blobs.Held, total int64) (out []Doomed) {
	slices.SortStableFunc(spare, func(a, b blobs.Held) int { return a.Used.Compare(b.Used) })
	for _, h := range spare {
		m := byDigest[string(h.Digest)]
		if total <= s.limit {
			break
		}
		if !s.safe(m) {
			continue
		}
		out = append(out, Doomed{Digest: hex.EncodeToString(h.Digest), Model: m.GetName(), Kind: string(h.Kind), Bytes: h.Bytes, Cause: causePressure})
		total -= h.Bytes
	}
	return out
}
