package feed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// format is the version of the frames and of what they mean to each other.
const format = 2

// A frame is a kind (1 byte), the payload's length (4 bytes, big endian), the
// CRC-32C of both and of the payload (4 bytes), and the payload.
const (
	kindHeartbeat = 'H' // beat, 24 bytes
	kindEntry     = 'E' // an encoded wire.Entry
	kindSnapshot  = 'S' // begins a snapshot; no payload
	kindPart      = 'P' // the snapshot's next bytes
	kindEnd       = 'Z' // ends it; no payload
	kindWait      = 'W' // a snapshot will come when it is this follower's turn; no payload
	kindRefusal   = 'X' // the last: a sentence on why this follower gets no more
)

const (
	checked    = 5 // bytes of the head that its checksum covers
	headSize   = checked + 4
	beatSize   = 24
	maxEntry   = 17 << 20 // a command may have 16 MiB
	maxPart    = 64 << 10
	maxRefusal = 1 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errFrame is wrapped for bytes that are no frame.
var errFrame = errors.New("damaged frame")

// limit is the largest payload of a kind, or less than 0 where there is no such kind.
func limit(kind byte) int {
	switch kind {
	case kindHeartbeat:
		return beatSize
	case kindEntry:
		return maxEntry
	case kindPart:
		return maxPart
	case kindSnapshot, kindEnd, kindWait:
		return 0
	case kindRefusal:
		return maxRefusal
	default:
		return -1
	}
}

// appendFrame appends a frame to b.
func appendFrame(b []byte, kind byte, payload []byte) ([]byte, error) {
	if len(payload) > limit(kind) {
		return b, fmt.Errorf("a frame of kind %q takes %d bytes, over the limit of %d", kind, len(payload), limit(kind))
	}
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	b = append(b, head...)
	b = binary.BigEndian.AppendUint32(b, checksum(head, payload))
	return append(b, payload...), nil
}

func checksum(head, payload []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, head), castagnoli, payload)
}

// readFrame reads the next frame. The payload is the caller's. Memory is taken
// as bytes arrive, not as the head promises.
func readFrame(r io.Reader) (kind byte, payload []byte, err error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n, most := int64(binary.BigEndian.Uint32(head[1:])), int64(limit(head[0]))
	if n > most {
		return 0, nil, fmt.Errorf("%w: kind %q with %d bytes", errFrame, head[0], n)
	}
	if n > 0 {
		payload = make([]byte, 0, min(n, maxPart))
	}
	for int64(len(payload)) < n {
		step := min(n-int64(len(payload)), maxPart)
		at := len(payload)
		payload = append(payload, make([]byte, step)...)
		if _, err := io.ReadFull(r, payload[at:]); err != nil {
			return 0, nil, fmt.Errorf("%w: cut short: %w", errFrame, err)
		}
	}
	if checksum(head[:checked], payload) != binary.BigEndian.Uint32(head[checked:]) {
		return 0, nil, fmt.Errorf("%w: kind %q: its checksum is not that of its content", errFrame, head[0])
	}
	return head[0], payload, nil
}

// A beat says how far the server's state is.
type beat struct {
	index   uint64
	age     time.Duration // of the server's own copy
	elapsed time.Duration // since the server got the request
}

func (b beat) encode() []byte {
	raw := make([]byte, 0, beatSize)
	raw = binary.BigEndian.AppendUint64(raw, b.index)
	raw = binary.BigEndian.AppendUint64(raw, uint64(max(b.age, 0)))
	return binary.BigEndian.AppendUint64(raw, uint64(max(b.elapsed, 0)))
}

func decodeBeat(raw []byte) (beat, error) {
	if len(raw) != beatSize {
		return beat{}, fmt.Errorf("%w: a heartbeat of %d bytes", errFrame, len(raw))
	}
	b := beat{
		index:   binary.BigEndian.Uint64(raw),
		age:     time.Duration(binary.BigEndian.Uint64(raw[8:])),
		elapsed: time.Duration(binary.BigEndian.Uint64(raw[16:])),
	}
	if b.age < 0 || b.elapsed < 0 {
		return beat{}, fmt.Errorf("%w: a heartbeat with a negative time", errFrame)
	}
	return b, nil
}

// parts is a snapshot read out of the frames that carry it. It ends with io.EOF
// at the frame that says so.
type parts struct {
	next func() (byte, []byte, error)
	rest []byte
	read int64 // bytes given out
	err  error
}

func (p *parts) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		kind, payload, err := p.next()
		switch {
		case errors.Is(err, io.EOF):
			p.err = io.ErrUnexpectedEOF
		case err != nil:
			p.err = err
		case kind == kindPart:
			p.rest = payload
		case kind == kindEnd:
			p.err = io.EOF
		default:
			p.err = fmt.Errorf("%w: kind %q within a snapshot", errFrame, kind)
		}
	}
	n := copy(b, p.rest)
	p.rest, p.read = p.rest[n:], p.read+int64(n)
	return n, nil
}

// drain reads on to the snapshot's end.
func (p *parts) drain() error {
	_, err := io.Copy(io.Discard, p)
	return err
}
