package gateway

import (
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A FoundRecord is one of a gateway's ledger, with its number there.
type FoundRecord struct {
	Number uint64
	Record *wire.UsageRecord
}

// FoundRecords are the newest of a gateway that fit, newest first, and before which number
// it goes on; 0: there are no more.
type FoundRecords struct {
	Gateway spec.NodeID
	Records []FoundRecord
	Next    uint64
}

// places are before which numbers gateways' ledgers go on, by tagOf them; a gateway that is not among
// those of an earlier page has nothing more. nil: from their ends on.
type places map[string]uint64

// tagOf stands for a gateway in a cursor, which has a place for each.
func tagOf(gateway spec.NodeID) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(gateway))
	return strconv.FormatUint(h.Sum64()>>24, 36)
}

// cursor writes the places; empty: nothing follows.
func (p places) cursor() string {
	var b strings.Builder
	for _, tag := range slices.Sorted(maps.Keys(p)) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(tag + "." + strconv.FormatUint(p[tag], 36))
	}
	return b.String()
}

var errCursor = errors.New("it is no cursor")

func parsePlaces(text string) (places, error) {
	if text == "" {
		return nil, nil
	}
	p := places{}
	for one := range strings.SplitSeq(text, ",") {
		tag, number, ok := strings.Cut(one, ".")
		n, err := strconv.ParseUint(number, 36, 64)
		if !ok || tag == "" || err != nil || n == 0 {
			return nil, errCursor
		}
		p[tag] = n
	}
	return p, nil
}

// A mergedRecord is one of the gateway's.
type mergedRecord struct {
	gateway spec.NodeID
	*wire.UsageRecord
}

// mergeRecords is the next page of what gateways have found, the latest first as far as their own
// order has it, and where each goes on. Those that did not answer keep their places: was has them.
func mergeRecords(found []FoundRecords, was places, limit int) (page []mergedRecord, next places) {
	next = maps.Clone(was)
	if next == nil {
		next = places{}
	}
	at := make([]int, len(found))
	for len(page) < limit {
		best := -1
		for i, f := range found {
			if at[i] < len(f.Records) && (best < 0 || f.Records[at[i]].Record.GetAtMs() > found[best].Records[at[best]].Record.GetAtMs()) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		page = append(page, mergedRecord{found[best].Gateway, found[best].Records[at[best]].Record})
		at[best]++
	}
	for i, f := range found {
		tag := tagOf(f.Gateway)
		switch {
		case at[i] < len(f.Records):
			next[tag] = f.Records[at[i]].Number + 1
		case f.Next > 0:
			next[tag] = f.Next
		default:
			delete(next, tag)
		}
	}
	return page, next
}

// NewestRecords leaves of what gateways have found, which it changes, what a page of so many can have, and has each go
// on with what it leaves out: a page of what it returns and of what others find is the same. Who asks many
// gateways need not hold what all of them have found. found is ordered by the gateways' names.
func NewestRecords(found []FoundRecords, limit int) []FoundRecords {
	page, _ := mergeRecords(found, nil, limit)
	taken := map[spec.NodeID]int{}
	for _, r := range page {
		taken[r.gateway]++
	}
	for i := range found {
		f := &found[i]
		if n := taken[f.Gateway]; n < len(f.Records) {
			f.Next = f.Records[n].Number + 1
			f.Records = append([]FoundRecord(nil), f.Records[:n]...) // the rest is not to be held
		}
	}
	return found
}
