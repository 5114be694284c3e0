package state

import (
	"bytes"
	"encoding/binary"

	"github.com/lotabots/lotabots/cluster/wire"
)

// atOnce bounds how many answers one entry makes the state forget.
const atOnce = 16

// remembered returns the first answer to a request, if it is still known.
func (v view) remembered(id string) (*wire.Result, bool) {
	if id == "" {
		return nil, false
	}
	raw, ok := v.value(append([]byte{requestsTable}, id...))
	if !ok {
		return nil, false
	}
	_, r, err := decodeRequest(raw)
	must(err)
	r.Replayed = true
	return r, true
}

// remember keeps the answer to a request, and forgets the oldest ones beyond the
// limits. Age is told by the commands' own clocks, so that all nodes forget alike.
func (t *tx) remember(id string, r *wire.Result) {
	if id == "" {
		return
	}
	raw, err := encodeRequest(t.at, r)
	must(err)
	var old [][]byte
	t.walk([]byte{byAge}, append([]byte{byAge}, be(t.floors.answers)...), func(key, _ []byte) bool {
		t.floors.answers = binary.BigEndian.Uint64(key[1:])
		full := t.requests-len(old) >= t.limits.requests
		if !full && !t.expired(key) {
			return false
		}
		old = append(old, bytes.Clone(key))
		return len(old) < atOnce
	})
	for _, key := range old {
		t.remove(key)
		t.remove(requestKey(key))
	}
	t.set(append([]byte{requestsTable}, id...), raw)
	t.set(requestAgeKey(t.index, id), nil)
	t.requests += 1 - len(old)
}

// requestKey is the key of the answer that an entry of the index byAge is about.
func requestKey(age []byte) []byte { return append([]byte{requestsTable}, age[9:]...) }

func (t *tx) expired(age []byte) bool {
	raw, ok := t.value(requestKey(age))
	if !ok || len(raw) < 8 {
		return true
	}
	return t.at-int64(binary.BigEndian.Uint64(raw)) > t.limits.life.Milliseconds()
}

func (v view) countRequests() int {
	n := 0
	v.walk([]byte{byAge}, nil, func(_, _ []byte) bool { n++; return true })
	return n
}
