package blob

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Proto is the cluster port's protocol of chunks in a stream: a raw connection, on
// which the node that dialled asks and the other answers, one after the other. A node
// that does not serve it has Handler.
const Proto = "chunks"

// What is asked for.
const (
	askChunk byte = 1 // a chunk
	askAgain byte = 2 // a chunk that came wrong: the holder looks whether it has it right
	askHave  byte = 3 // which chunks are there: a bit for each, the first is the lowest of the first byte
)

// What is answered.
const (
	saidYes   byte = 0 // what was asked for follows
	saidLacks byte = 1 // it is not here, or not yet
	saidNo    byte = 2 // why follows
)

const (
	maxName   = 1 << 10 // bytes of a model's name
	maxSaid   = 200     // bytes of a reason
	askHead   = 1 + 4 + sha256.Size + 2
	saidHead  = 1 + 4
	pieceSize = 256 << 10 // what is read, hashed and written at a time: it stays in the processor's cache
)

var errFrame = errors.New("what came is no message of the protocol of chunks")

// A request asks a holder. Its digest has sha256.Size bytes: a name may have been given
// to other bytes in the meantime, a digest never.
type request struct {
	op     byte
	chunk  uint32
	digest []byte
	name   string
}

func (q request) append(b []byte) []byte {
	b = append(b, q.op)
	b = binary.BigEndian.AppendUint32(b, q.chunk)
	b = append(b, q.digest...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(q.name)))
	return append(b, q.name...)
}

// readRequest returns io.EOF where there is none.
func readRequest(r io.Reader) (request, error) {
	var head [askHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return request{}, err
	}
	q := request{op: head[0], chunk: binary.BigEndian.Uint32(head[1:]), digest: head[5 : 5+sha256.Size]}
	n := binary.BigEndian.Uint16(head[askHead-2:])
	if q.op < askChunk || q.op > askHave || n == 0 || n > maxName {
		return request{}, errFrame
	}
	name := make([]byte, n)
	if _, err := io.ReadFull(r, name); err != nil {
		return request{}, io.ErrUnexpectedEOF
	}
	q.name = string(name)
	return q, nil
}

func appendAnswer(b []byte, said byte, length int) []byte {
	return binary.BigEndian.AppendUint32(append(b, said), uint32(length))
}

// A refusal is what a holder says where it does not give what was asked for.
type refusal struct {
	said byte
	why  string
}

func (r *refusal) Error() string { return r.why }

// readAnswer returns an answer's length, which is to be want where it is yes.
func readAnswer(r io.Reader, want int) error {
	var head [saidHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[1:])
	switch said := head[0]; {
	case said == saidYes && int64(n) != int64(want):
		return fmt.Errorf("it gives %d bytes where there are %d", n, want)
	case said == saidYes:
		return nil
	case said > saidNo || n > maxSaid:
		return errFrame
	default:
		why := make([]byte, n)
		if _, err := io.ReadFull(r, why); err != nil {
			return err
		}
		return &refusal{said, fmt.Sprintf("it answers %q", why)}
	}
}

// bitmap has a bit for each of have.
func bitmap(have []bool) []byte {
	out := make([]byte, (len(have)+7)/8)
	for i, is := range have {
		if is {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return out
}

// unmap reads n bits, of which there are enough.
func unmap(b []byte, n int) []bool {
	out := make([]bool, n)
	for i := range out {
		out[i] = b[i/8]&(1<<(i%8)) != 0
	}
	return out
}
