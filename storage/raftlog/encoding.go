package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// An entry is kept as
//
//	version    1 byte, 1
//	type       1 byte
//	term       uvarint
//	appended   varint, Unix nanoseconds; 0: unknown
//	size       uvarint, bytes of data
//	data
//	extensions the rest
//
// and its index is in the key.
const encoding = 1

var errDamaged = errors.New("the entry is damaged")

// sizeOf is how many bytes encode appends.
func sizeOf(l *raft.Log) int {
	var scratch [binary.MaxVarintLen64]byte
	return 2 + binary.PutUvarint(scratch[:], l.Term) + binary.PutVarint(scratch[:], appended(l)) +
		binary.PutUvarint(scratch[:], uint64(len(l.Data))) + len(l.Data) + len(l.Extensions)
}

func appended(l *raft.Log) int64 {
	if l.AppendedAt.IsZero() {
		return 0
	}
	return l.AppendedAt.UnixNano()
}

// encode appends the entry to b.
func encode(b []byte, l *raft.Log) []byte {
	b = append(b, encoding, byte(l.Type))
	b = binary.AppendUvarint(b, l.Term)
	b = binary.AppendVarint(b, appended(l))
	b = binary.AppendUvarint(b, uint64(len(l.Data)))
	b = append(b, l.Data...)
	return append(b, l.Extensions...)
}

// decode fills l with a copy of what b holds.
func decode(b []byte, l *raft.Log) error {
	if len(b) < 2 {
		return errDamaged
	}
	if b[0] != encoding {
		return fmt.Errorf("%w: its encoding is %d and this build knows %d", errDamaged, b[0], encoding)
	}
	l.Type, b = raft.LogType(b[1]), b[2:]
	var n int
	if l.Term, n = binary.Uvarint(b); n <= 0 {
		return errDamaged
	}
	b = b[n:]
	appended, n := binary.Varint(b)
	if n <= 0 {
		return errDamaged
	}
	b = b[n:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return errDamaged
	}
	b = b[n:]
	l.AppendedAt = time.Time{}
	if appended != 0 {
		l.AppendedAt = time.Unix(0, appended)
	}
	l.Data, l.Extensions = clone(b[:size]), clone(b[size:])
	return nil
}

func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}
