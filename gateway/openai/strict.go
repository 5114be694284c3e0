package openai

import (
	"encoding/binary"
	"math/bits"
)

// strict tells whether text that the parser has taken is JSON for certain, at less than it takes to
// validate it. The parser knows the text's structure, but takes any bytes within strings, and numbers
// that are none: these alone are looked at. False: it has to be validated.
func strict(text []byte) bool {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			if i = strictString(text, i+1); i < 0 {
				return false
			}
		case '{', '}', '[', ']', ':', ',', ' ', '\n', '\r', '\t':
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

// strictString is where the string ends, at its quote, whose text begins at b[i]; -1: it has what must not stand in one.
func strictString(b []byte, i int) int {
	for {
		i = plainTo(b, i)
		if i >= len(b) || b[i] < ' ' {
			return -1
		}
		if b[i] == '"' {
			return i
		}
		if i++; i >= len(b) { // behind a backslash
			return -1
		}
		switch b[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i++
		case 'u':
			for end := i + 4; i < end; {
				if i++; i >= len(b) || !isHex(b[i]) {
					return -1
				}
			}
			i++
		default:
			return -1
		}
	}
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

// plainTo is where the first quote, backslash or control character is from i on, or the text's end.
func plainTo(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
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
