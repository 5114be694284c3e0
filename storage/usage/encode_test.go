package usage

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

// TestEncode: whatever a record's fields hold, all that the message has, it is encoded as proto.Marshal would it, made such as
// the state takes.
func TestEncode(t *testing.T) {
	numbers := rapid.OneOf(rapid.SampledFrom([]uint64{0, 1, 127, 128, math.MaxUint32, math.MaxInt64, math.MaxUint64}), rapid.Uint64())
	names := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "\x00", "\x7f", "\x80", "é", "seven b", "eight by", "eight b\x00", "\x00ight by", "nine byt\x80", "\x80eight by"}),
		rapid.StringMatching(`[ -~]{0,40}`), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.IntRange(100, 300), func(n int) string { return strings.Repeat("x", n) }))
	rapid.Check(t, func(t *rapid.T) {
		r := &wire.UsageRecord{}
		fields := r.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			var v protoreflect.Value
			switch f.Kind() {
			case protoreflect.StringKind:
				v = protoreflect.ValueOfString(names.Draw(t, string(f.Name())))
			case protoreflect.Uint64Kind:
				v = protoreflect.ValueOfUint64(numbers.Draw(t, string(f.Name())))
			case protoreflect.Int64Kind:
				v = protoreflect.ValueOfInt64(int64(numbers.Draw(t, string(f.Name()))))
			case protoreflect.Uint32Kind:
				v = protoreflect.ValueOfUint32(uint32(numbers.Draw(t, string(f.Name()))))
			case protoreflect.BoolKind:
				v = protoreflect.ValueOfBool(rapid.Bool().Draw(t, string(f.Name())))
			default:
				t.Fatalf("%s is of a kind that is not encoded: %v", f.Name(), f.Kind())
			}
			r.ProtoReflect().Set(f, v)
		}
		same := proto.CloneOf(r)
		plain(same)
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(same)
		try(t, err)
		if got := encode([]byte("before"), r); !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Fatalf("%v is encoded as\n%x, want\n%x", r, got[6:], want)
		}
	})
}
