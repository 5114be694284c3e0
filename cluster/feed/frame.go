package feed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// A frame is a kind (1 byte), the payload's length (4 bytes, big endian) and
// the payload.
const (
	kindHeartbeat = 'H' // beat, 24 bytes
	kindEntry     = 'E' // an encoded wire.Entry
	kindSnapshot  = 'S' // begins a snapshot; no payload
	kindPart      = 'P' // the snapshot's next bytes
	kindEnd       = 'Z' // ends it; no payload
)

const (
	headSize = 5
	beatSize = 24
	maxEntry = 17 << 20 // a command may have 16 MiB
	maxPart  = 64 << 10
)

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
	case kindSnapshot, kindEnd:
		return 0
	default:
		return -1
	}
}

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	if len(payload) > limit(kind) {
		return fmt.Errorf("a frame of kind %q takes %d bytes, over the limit of %d", kind, len(payload), limit(kind))
	}
	var head [headSize]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(payload)))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	if len(payload) == 0 {
		return nil
	}
	_, err := w.Write(payload)
	return err
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
	if n == 0 {
		return head[0], nil, nil
	}
	payload = make([]byte, 0, min(n, maxPart))
	for int64(len(payload)) < n {
		step := min(n-int64(len(payload)), maxPart)
		at := len(payload)
		payload = append(payload, make([]byte, step)...)
		if _, err := io.ReadFull(r, payload[at:]); err != nil {
			return 0, nil, fmt.Errorf("%w: cut short: %w", errFrame, err)
		}
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
	p.rest = p.rest[n:]
	return n, nil
}

// drain reads on to the snapshot's end.
func (p *parts) drain() error {
	_, err := io.Copy(io.Discard, p)
	return err
}
