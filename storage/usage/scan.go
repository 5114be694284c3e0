package usage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// A scan is what the teller looks at of a record, whose bytes it points into. Fields are found by their numbers.
type scan struct {
	fields  []byte
	numbers [fieldCache + 1]uint64
	names   [fieldCache + 1]span
}

// A span is where a name is among the fields.
type span struct{ from, to uint32 }

func (s *scan) name(field int) []byte { return s.fields[s.names[field].from:s.names[field].to] }

func (s *scan) atMs() int64 { return int64(s.numbers[fieldAtMs]) }

// maxRecord is more than any record has: what is larger is none.
const maxRecord = 1 << 30

var errRecord = errors.New("it is no record")

// read reads what is under a record's key, and passes over what it does not know, as proto.Unmarshal does. It does not look
// at whether names are UTF-8.
func (s *scan) read(key, value []byte) error {
	*s = scan{}
	if len(value) < 8 || len(value) > maxRecord {
		return fmt.Errorf("record %d has %d bytes", numberOf(key), len(value))
	}
	s.fields = value[8:]
	if !s.find() {
		return fmt.Errorf("record %d: %w", numberOf(key), errRecord)
	}
	return nil
}

// find looks for the fields.
func (s *scan) find() (ok bool) {
	b := s.fields
	for i := 0; i < len(b); {
		tag := uint64(b[i])
		if i++; tag >= 0x80 {
			if tag, i = varint(b, i-1); i < 0 {
				return false
			}
		}
		field, kind := tag>>3, protowire.Type(tag&7)
		if kind != protowire.VarintType && kind != protowire.BytesType || field == 0 || field > fieldCache {
			if i = pass(b, i, field, kind); i < 0 {
				return false
			}
			continue
		}
		if i >= len(b) {
			return false
		}
		n := uint64(b[i])
		if i++; n >= 0x80 {
			if n, i = varint(b, i-1); i < 0 {
				return false
			}
		}
		if kind == protowire.VarintType {
			s.numbers[field] = n
			continue
		}
		if n > uint64(len(b)-i) {
			return false
		}
		s.names[field] = span{uint32(i), uint32(i + int(n))}
		i += int(n)
	}
	return true
}

// beforeOf is the bytes of all records before the one of that value; otherwise where it is none.
func beforeOf(value []byte, otherwise uint64) uint64 {
	if len(value) < 8 {
		return otherwise
	}
	return binary.BigEndian.Uint64(value)
}

// varint reads one of several bytes, and returns where it ends; below 0: it is none.
func varint(b []byte, i int) (v uint64, end int) {
	v, n := protowire.ConsumeVarint(b[i:])
	if n < 0 {
		return 0, n
	}
	return v, i + n
}

// pass returns where a field ends that the teller knows nothing of; below 0: it is none.
func pass(b []byte, i int, field uint64, kind protowire.Type) int {
	if field < uint64(protowire.MinValidNumber) || field > uint64(protowire.MaxValidNumber) {
		return -1
	}
	n := protowire.ConsumeFieldValue(protowire.Number(field), kind, b[i:])
	if n < 0 {
		return n
	}
	return i + n
}
