package prefix

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

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

// Announced tells whether the beginning of so many whole blocks has a name.
func Announced(blocks int) bool { return beginning.Announced(blocks) }

// A Chain is the name of a beginning, to which more can be added. It is a value: adding makes another.
type Chain struct{ sum [sha256.Size]byte }

// Start is the empty beginning of a kind of prompt, for one salt.
func Start(kind Kind, salt string) Chain {
	return Chain{sha256.Sum256([]byte(beginning.Scheme + string(kind) + "\x00" + salt))}
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
