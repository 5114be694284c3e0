package blob

import (
	"errors"
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A holder is a node that may have a model, guarded by its pull's mutex.
type holder struct {
	id     spec.NodeID
	busy   int    // streams that ask it now
	plain  bool   // it tells not what it has: it counts as having all until it fails
	chunks []bool // what it has; nil: nothing that is known
	told   []bool // what it has said that it has, also where it had it not when asked
	helps  bool   // it told of a chunk that had not come
	failed error
	lacks  error // why there is nothing known
}

// errUnheard is of holders that were not asked: enough others have the model.
var errUnheard = errors.New("it was not asked")

var errPart = errors.New("it has a part, and nothing of what is missing")

func (h *holder) gives() bool { return h.failed == nil && (h.plain || h.chunks != nil) }

// fresh tells whether it was never asked.
func (h *holder) fresh() bool {
	return h.failed == nil && !h.plain && h.chunks == nil && h.lacks == nil
}

func (h *holder) has(i int) bool { return h.plain || h.chunks[i] }

func (h *holder) trouble() error {
	switch {
	case h.failed != nil:
		return h.failed
	case h.chunks != nil:
		return errPart
	case h.lacks != nil:
		return h.lacks
	}
	return errUnheard
}

// whole tells whether it has everything.
func (h *holder) whole() bool {
	for _, is := range h.chunks {
		if !is {
			return false
		}
	}
	return h.plain || h.chunks != nil
}

// lost notes why chunk i did not come, and tells whether the holder is asked no further.
func (h *holder) lost(i int, err error) bool {
	said := (*refusal)(nil)
	if errors.As(err, &said) && said.said == saidLacks && h.chunks != nil {
		h.chunks[i] = false
		return false
	}
	if isHungUp(err) { // it is asked what it has before it is asked for a chunk again
		h.chunks, h.lacks = nil, err
		return false
	}
	if h.failed == nil {
		h.failed = err
	}
	return true
}

// hear notes what a holder has now, and tells whether that is more than it ever told: one
// that tells of what it then lacks gives no hope twice. came has the chunks that are here.
func (h *holder) hear(chunks, came []bool) (more bool) {
	if h.told == nil {
		h.told = make([]bool, len(chunks))
	}
	h.helps = false
	for i, is := range chunks {
		more = more || is && !h.told[i]
		h.told[i] = h.told[i] || is
		h.helps = h.helps || is && !came[i]
	}
	h.chunks, h.lacks = chunks, nil
	return more
}

// choose takes the least busy holder that has one of the missing chunks, and the first
// of these. Of equally busy ones it takes one that has not all: who has all is asked by
// the others too.
func choose(holders []*holder, missing []int) (best *holder, at int) {
	whole := false
	for _, h := range holders {
		if !h.gives() || best != nil && (h.busy > best.busy || h.busy == best.busy && !whole) {
			continue
		}
		all := h.whole()
		if best != nil && h.busy == best.busy && all {
			continue
		}
		for j, i := range missing {
			if h.has(i) {
				best, at, whole = h, j, all
				break
			}
		}
	}
	return best, at
}

func ids(holders []*holder) (out []spec.NodeID) {
	for _, h := range holders {
		out = append(out, h.id)
	}
	return out
}

// anyHope tells whether somebody may still give something. before: a part was here when
// the pull began. Others may have the rest, and tell of it when they begin a pull.
func anyHope(holders []*holder, before bool) bool {
	for _, h := range holders {
		if h.gives() || h.failed == nil && (before || isHungUp(h.lacks)) {
			return true
		}
	}
	return false
}

func anyFresh(holders []*holder) bool { return slices.ContainsFunc(holders, (*holder).fresh) }
