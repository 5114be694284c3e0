package storage

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
)

// UsageRecords is what the keys of the usage ledger's records begin with, before their numbers (8).
var UsageRecords = Usage.Key([]byte{0x02})

// usageSpan is how many of the usage ledger's records, by their numbers, lie in tables of their own.
const usageSpan = 1 << 16

// spans cuts Pebble's tables: between the usage ledger's records and all else, and among those. Records come in the order of their
// numbers and go in it. A table that had the newest of them together with what is written over again and again, or with what
// deletes the oldest, would reach over all the others, and each compaction of it would write those anew.
func spans(start []byte) (policy pebble.SpanPolicy, end []byte, err error) {
	switch {
	case bytes.Compare(start, UsageRecords) < 0:
		return policy, UsageRecords, nil
	case bytes.Compare(start, Usage.End()) >= 0:
		return policy, nil, nil
	}
	var number [8]byte
	if bytes.HasPrefix(start, UsageRecords) {
		copy(number[:], start[len(UsageRecords):])
		if next := binary.BigEndian.Uint64(number[:])/usageSpan + 1; next <= (1<<64-1)/usageSpan {
			return policy, binary.BigEndian.AppendUint64(bytes.Clone(UsageRecords), next*usageSpan), nil
		}
	}
	return policy, Usage.End(), nil
}
