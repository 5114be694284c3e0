package beginning

// Kind says what a prompt is made of. Names of different kinds never meet.
type Kind string

// The kinds, as names have them.
const (
	Chat   Kind = "chat"
	Text   Kind = "text"
	Tokens Kind = "tokens"
)

// The sizes of a block of a prompt that is no chat, and how many of them may have names.
const (
	TextBlock  = 256 // bytes
	TokenBlock = 64  // tokens
	MaxBlocks  = 256
)

// Scheme begins what every name is made of; another way of making them has another.
const Scheme = "lotabots/prefix/1/"

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
