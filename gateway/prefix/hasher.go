package prefix

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/lotabots/lotabots/cluster/spec/beginning"
)

// Kind says what a prompt is made of.
type Kind = beginning.Kind

// What engines and gateways agree on.
const (
	Chat       = beginning.Chat
	Text       = beginning.Text
	Tokens     = beginning.Tokens
	TextBlock  = beginning.TextBlock
	TokenBlock = beginning.TokenBlock
	MaxBlocks  = beginning.MaxBlocks
)

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
	h.buf = append(append(append(append(h.buf[:0], beginning.Scheme...), kind...), 0), salt...)
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

// Announced tells whether engines announce the beginning of so many whole blocks.
func Announced(blocks int) bool { return beginning.Announced(blocks) }
