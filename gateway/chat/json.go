package chat

import (
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string; bytes that are no UTF-8 become U+FFFD.
func AppendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	return append(AppendText(dst, s), '"')
}

// AppendText is AppendString without the quotes, for strings that are written in pieces.
func AppendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	plain := 0 // where what is not appended yet begins
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			var b [utf8.UTFMax]byte
			r, size := utf8.DecodeRune(b[:copy(b[:], s[i:])])
			if r == utf8.RuneError && size == 1 {
				dst = utf8.AppendRune(append(dst, s[plain:i]...), utf8.RuneError)
				plain = i + 1
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[plain:i]...)
		i++
		plain = i
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, s[plain:]...)
}

// AppendValue appends v as JSON; numbers keep their spelling.
func AppendValue(dst []byte, v *fastjson.Value) []byte {
	if v == nil {
		return append(dst, "null"...)
	}
	switch v.Type() {
	case fastjson.TypeString:
		return AppendString(dst, v.GetStringBytes())
	case fastjson.TypeArray:
		dst = append(dst, '[')
		for i, item := range v.GetArray() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendValue(dst, item)
		}
		return append(dst, ']')
	case fastjson.TypeObject:
		dst = append(dst, '{')
		first := true
		v.GetObject().Visit(func(key []byte, item *fastjson.Value) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = AppendValue(append(AppendString(dst, key), ':'), item)
		})
		return append(dst, '}')
	case fastjson.TypeNumber:
		was := len(dst)
		dst = v.MarshalTo(dst)
		if last := dst[len(dst)-1]; last < '0' || last > '9' { // the parser takes nan and inf
			return append(dst[:was], "null"...)
		}
		return dst
	default:
		return v.MarshalTo(dst)
	}
}
