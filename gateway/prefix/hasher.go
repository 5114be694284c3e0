package prefix

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// Kind says what a prompt is made of.
type Kind string

// The kinds, as the names of beginnings have them.
const (
	Chat   Kind = "chat"
	Text   Kind = "text"
	Tokens Kind = "tokens"
)

// The sizes of a block of a prompt that is no chat, and how many of them have names.
const (
	TextBlock  = 256 // bytes
	TokenBlock = 64  // tokens
	MaxBlocks  = 256
)

// scheme begins what every chain begins with.
const scheme = "lotabots/prefix/1/"

// A Hasher names the beginnings of one prompt after another. Its zero value is ready. It is not to
// be copied, and one goroutine uses it.
type Hasher struct {
	h    hash.Hash
	sum  [sha256.Size]byte
	four [4]byte
	buf  []byte
}

// Start begins a prompt of that kind, for one salt.
func (h *Hasher) Start(kind Kind, salt string) {
	if h.h == nil {
		h.h = sha256.New()
	}
	h.buf = append(append(append(append(h.buf[:0], scheme...), kind...), 0), salt...)
	h.h.Reset()
	h.h.Write(h.buf)
	h.end()
}

// Message begins one turn; Write adds its content, End names the beginning up to its end.
func (h *Hasher) Message(role []byte) {
	h.next()
	binary.LittleEndian.PutUint32(h.four[:], uint32(len(role)))
	h.h.Write(h.four[:])
	h.h.Write(role)
}

// Write adds content of the turn, or of the block, that has been begun.
func (h *Hasher) Write(content []byte) { h.h.Write(content) }

// End ends a turn or a block.
func (h *Hasher) End() uint64 {
	h.end()
	return binary.BigEndian.Uint64(h.sum[:])
}

// Block begins a block of a prompt that is no chat.
func (h *Hasher) Block() { h.next() }

// Token adds one token to a block of them.
func (h *Hasher) Token(t int32) {
	binary.LittleEndian.PutUint32(h.four[:], uint32(t))
	h.h.Write(h.four[:])
}

func (h *Hasher) next() {
	h.h.Reset()
	h.h.Write(h.sum[:])
}

func (h *Hasher) end() { h.h.Sum(h.sum[:0]) }

// Announced tells whether the beginning of so many whole blocks is one that engines announce: the
// first few, and then ever fewer, so that a long prompt has sixteen names and not hundreds.
func Announced(blocks int) bool {
	if blocks < 1 || blocks > MaxBlocks {
		return false
	}
	for blocks > 3 {
		if blocks&1 != 0 {
			return false
		}
		blocks >>= 1
	}
	return true
}
