package openai

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Words of eight bytes: ones is 1 in each, tops the top bit of each. Loops over words ask whether i is negative, which
// it never is, and compare it with the length less seven: then the compiler knows that a word is there.
const ones, tops = 0x0101010101010101, 0x8080808080808080

// plainText tells whether text is ASCII, and whether it has no control characters.
func plainText(text []byte) (ascii, plain bool) {
	const bodies, lift = ones * 0x7f, ones * 0x60
	// A byte's top bit is set in found where it is in one of the bytes, and in above where each is none of control.
	found, above := uint64(0), uint64(tops)
	i := 0
	for ; i < len(text)-31; i += 32 { // as long as it is ASCII: no byte carries over to the next
		a, b := binary.LittleEndian.Uint64(text[i:]), binary.LittleEndian.Uint64(text[i+8:])
		c, d := binary.LittleEndian.Uint64(text[i+16:]), binary.LittleEndian.Uint64(text[i+24:])
		if (a|b|c|d)&tops != 0 {
			break
		}
		above &= (a + lift) & (b + lift) & (c + lift) & (d + lift)
	}
	for ; i < len(text)-7; i += 8 {
		a := binary.LittleEndian.Uint64(text[i:])
		found |= a
		above &= a&bodies + lift | a
	}
	for ; i < len(text); i++ {
		found |= uint64(text[i])
		if text[i] < ' ' {
			above = 0
		}
	}
	return found&tops == 0, above&tops == tops
}

// structure has a bit for each byte, by its low six bits, that stands between values or begins and ends objects and
// arrays; no other that the parser takes outside of strings has the same.
const structure = 1<<('{'&63) | 1<<('}'&63) | 1<<('['&63) | 1<<(']'&63) | 1<<(':'&63) | 1<<(','&63) | 1<<(' '&63)

// strict tells whether text that the parser has taken is JSON for certain, at less than it takes to
// validate it; plain says that it has no control characters. The parser knows the text's structure, but takes
// any bytes within strings, and numbers that are none: these alone are looked at. False: it has to be validated.
func strict(text []byte, plain bool) bool {
	bare := plain && bytes.IndexByte(text, '\\') < 0 // strings hold but their text
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '"' {
			switch {
			case bare:
				i = quoteFrom(text, i+1)
			case plain:
				i = escapedEnd(text, i+1)
			default:
				i = strictString(text, i+1)
			}
			if i < 0 {
				return false
			}
			continue
		}
		if structure>>(c&63)&1 != 0 {
			continue
		}
		switch c {
		case '\n', '\r', '\t':
		case 't':
			i += len("true") - 1 // the parser has seen to that
		case 'f':
			i += len("false") - 1
		case 'n':
			if i += len("ull"); i >= len(text) || text[i] != 'l' { // nan
				return false
			}
		default:
			if i = strictNumber(text, i) - 1; i < 0 {
				return false
			}
		}
	}
	return true
}

// quoteFrom is where the first quote is from i on, or -1.
func quoteFrom(b []byte, i int) int {
	if i >= 0 && i < len(b)-7 { // most strings are short
		w := binary.LittleEndian.Uint64(b[i:]) ^ ones*'"'
		if found := (w - ones) &^ w & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
		i += 8
	}
	n := bytes.IndexByte(b[i:], '"')
	if n < 0 {
		return -1
	}
	return i + n
}

// escapedEnd is where the string ends, at its quote, whose text begins at b[i], where b has no control characters; -1:
// it has what must not stand in one.
func escapedEnd(b []byte, i int) int {
	for i < len(b) {
		if i >= 0 && i < len(b)-7 {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, slash := w^(ones*'"'), w^(ones*'\\')
			found := ((quote-ones)&^quote | (slash-ones)&^slash) & tops
			if found == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(found) / 8
		}
		switch b[i] {
		case '"':
			return i
		case '\\':
			if i+1 < len(b) && (b[i+1] == 'n' || b[i+1] == '"') { // nearly always
				i += 2
			} else if i = escaped(b, i+1); i < 0 {
				return -1
			}
		default: // at the text's end
			i++
		}
	}
	return -1
}

// strictString is escapedEnd of what may have control characters.
func strictString(b []byte, i int) int {
	for {
		i = plainTo(b, i)
		if i >= len(b) || b[i] < ' ' {
			return -1
		}
		if b[i] == '"' {
			return i
		}
		if i = escaped(b, i+1); i < 0 {
			return -1
		}
	}
}

// escaped is where the escape ends whose backslash is before b[i]; -1: it is none of JSON's.
func escaped(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if len(b)-i > 4 && isHex(b[i+1]) && isHex(b[i+2]) && isHex(b[i+3]) && isHex(b[i+4]) {
			return i + 5
		}
	}
	return -1
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

// plainTo is where the first quote, backslash or control character is from i on, or the text's end.
func plainTo(b []byte, i int) int {
	for ; i >= 0 && i < len(b)-7; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		// A byte's top bit is set where it is 0, or below ' '; wrongly only behind one where it is so.
		if found := ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// strictNumber is where the number ends that begins at b[i]; 0: it is none.
func strictNumber(b []byte, i int) int {
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if b[i] == '-' {
		i++
	}
	from, zero := i, i < len(b) && b[i] == '0'
	if !digits() || zero && i > from+1 {
		return 0
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return 0
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	if i < len(b) && !endsPlain(b[i]) {
		return 0
	}
	return i
}
