package state

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	maxAudited = 4 << 10 // bytes of a record in the audit log
	maskedText = "***"
)

// recordJSON is a record as the audit log has it: an object with the fields that
// are set, in the order of their numbers, the same bytes on every node. Secrets and
// their hashes are masked. Fields with which it would become too long are left
// out and named in the field _cut. No record is the empty text.
func recordJSON(m proto.Message) string {
	if m == nil {
		return ""
	}
	const reserve = 512 // for the names of what is left out
	var cut []string
	out := []byte{'{'}
	for _, f := range fieldsOf(m.ProtoReflect()) {
		part := appendField(nil, f, m.ProtoReflect().Get(f), maxAudited)
		if len(out)+len(part) > maxAudited-reserve {
			cut = append(cut, string(f.Name()))
			continue
		}
		out = append(append(out, part...), ',')
	}
	if len(cut) > 0 {
		out = append(out, `"_cut":[`...)
		for _, name := range cut {
			out = append(appendText(out, name), ',')
		}
		out = append(bytes.TrimSuffix(out, []byte{','}), "],"...)
	}
	return string(append(bytes.TrimSuffix(out, []byte{','}), '}'))
}

// fieldsOf are the fields of m that are set.
func fieldsOf(m protoreflect.Message) (set []protoreflect.FieldDescriptor) {
	all := m.Descriptor().Fields()
	for i := range all.Len() {
		if m.Has(all.Get(i)) {
			set = append(set, all.Get(i))
		}
	}
	slices.SortFunc(set, func(a, b protoreflect.FieldDescriptor) int { return cmp.Compare(a.Number(), b.Number()) })
	return set
}

// appendField appends name and value. It may stop early once out has more than
// most bytes: nobody will have it then.
func appendField(out []byte, f protoreflect.FieldDescriptor, v protoreflect.Value, most int) []byte {
	out = append(appendText(out, string(f.Name())), ':')
	switch {
	case isSecret(string(f.Name())):
		return appendText(out, maskedText)
	case f.IsMap():
		return appendMap(out, f, v.Map())
	case f.IsList():
		out = append(out, '[')
		for i := 0; i < v.List().Len() && len(out) <= most; i++ {
			out = append(appendValue(out, f, v.List().Get(i), most), ',')
		}
		return append(bytes.TrimSuffix(out, []byte{','}), ']')
	}
	return appendValue(out, f, v, most)
}

func appendValue(out []byte, f protoreflect.FieldDescriptor, v protoreflect.Value, most int) []byte {
	switch f.Kind() {
	case protoreflect.StringKind:
		return appendText(out, v.String())
	case protoreflect.BytesKind:
		return appendText(out, hex.EncodeToString(v.Bytes()))
	case protoreflect.BoolKind:
		return strconv.AppendBool(out, v.Bool())
	case protoreflect.EnumKind:
		if name := f.Enum().Values().ByNumber(v.Enum()); name != nil {
			return appendText(out, string(name.Name()))
		}
		return strconv.AppendInt(out, int64(v.Enum()), 10)
	case protoreflect.MessageKind:
		out = append(out, '{')
		for _, inner := range fieldsOf(v.Message()) {
			out = append(appendField(out, inner, v.Message().Get(inner), most), ',')
		}
		return append(bytes.TrimSuffix(out, []byte{','}), '}')
	}
	return fmt.Append(out, v.Interface()) // a number
}

// appendMap appends a map of texts in the order of its keys.
func appendMap(out []byte, f protoreflect.FieldDescriptor, m protoreflect.Map) []byte {
	texts := map[string]string{}
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		texts[k.String()] = fmt.Sprint(v.Interface())
		return true
	})
	keys := make([]string, 0, len(texts))
	for k := range texts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out = append(out, '{')
	for _, k := range keys {
		out = append(appendText(append(appendText(out, k), ':'), hidden(k, texts[k])), ',')
	}
	return append(bytes.TrimSuffix(out, []byte{','}), '}')
}

// appendText appends a text as JSON has it.
func appendText(out []byte, text string) []byte {
	out = append(out, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"', c == '\\':
			out = append(out, '\\', c)
		case c < ' ' || c == 0x7f:
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// isSecret tells by a field's name whether nobody may see its value.
func isSecret(field string) bool {
	switch field {
	case "hash", "password", "ciphertext", "wrapped", "nonce":
		return true
	}
	return strings.HasSuffix(field, "_hash")
}

// hidden is the value of a setting or option as everybody may see it: masked where
// the name tells of a secret, and without what a URL may have before its host.
func hidden(name, value string) string {
	for _, end := range []string{"secret", "password", "token", "key"} {
		if strings.HasSuffix(strings.ToLower(name), end) {
			return maskedText
		}
	}
	scheme, rest, ok := strings.Cut(value, "://")
	if !ok {
		return value
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if at := strings.LastIndexByte(rest[:end], '@'); at >= 0 {
		return scheme + "://" + maskedText + rest[at:]
	}
	return value
}
