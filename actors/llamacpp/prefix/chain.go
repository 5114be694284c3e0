package prefix

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Kind says what a prompt is made of.
type Kind string

// The kinds. Chains of different kinds never meet.
const (
	Chat   Kind = "chat"
	Text   Kind = "text"
	Tokens Kind = "tokens"
)

// The sizes of a block.
const (
	TextBlock  = 256 // bytes
	TokenBlock = 64  // tokens
	// MaxBlocks is how many blocks of one prompt may have names.
	MaxBlocks = 256
)

// Announced tells whether the beginning of so many whole blocks has a name: the first few, and then
// ever fewer, so that a long prompt has sixteen names and not hundreds. Blocks at 1, 2, 3, 4, 6, 8, 12...
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

// A Chain is the name of a beginning, to which more can be added. It is a value: adding makes another.
type Chain struct{ sum [sha256.Size]byte }

// Start is the empty beginning of a kind of prompt, for one salt.
func Start(kind Kind, salt string) Chain {
	return Chain{sha256.Sum256([]byte("lotabots/prefix/1/" + string(kind) + "\x00" + salt))}
}

// Message adds one turn of a chat.
func (c Chain) Message(role, content string) Chain {
	b := make([]byte, 0, len(c.sum)+4+len(role)+len(content))
	b = append(b, c.sum[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(role)))
	b = append(b, role...)
	return Chain{sha256.Sum256(append(b, content...))}
}

// Block adds one block's bytes.
func (c Chain) Block(block []byte) Chain {
	return Chain{sha256.Sum256(append(c.sum[:len(c.sum):len(c.sum)], block...))}
}

// TokenBlock adds one block of tokens.
func (c Chain) TokenBlock(tokens []int32) Chain {
	b := make([]byte, 0, 4*len(tokens))
	for _, t := range tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(t))
	}
	return c.Block(b)
}

// Name is what is announced.
func (c Chain) Name() string { return hex.EncodeToString(c.sum[:8]) }

// A Mark is a named beginning and how many of the engine's tokens it has.
type Mark struct {
	Name   string `json:"name"`
	Tokens int    `json:"tokens"`
}
