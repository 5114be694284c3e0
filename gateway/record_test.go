package gateway

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/relay"
)

// TestNothingOfTheRecordBefore is left in one that is used again.
func TestNothingOfTheRecordBefore(t *testing.T) {
	x := newInferring()
	x.g, x.who, x.record = &Gateway{}, &auth.Principal{}, &wire.UsageRecord{}
	before := x.record.ProtoReflect()
	fields := before.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch f.Kind() {
		case protoreflect.StringKind:
			before.Set(f, protoreflect.ValueOfString("before"))
		case protoreflect.BoolKind:
			before.Set(f, protoreflect.ValueOfBool(true))
		case protoreflect.Int64Kind:
			before.Set(f, protoreflect.ValueOfInt64(7))
		case protoreflect.Uint64Kind:
			before.Set(f, protoreflect.ValueOfUint64(7))
		case protoreflect.Uint32Kind:
			before.Set(f, protoreflect.ValueOfUint32(7))
		default:
			t.Fatalf("the test knows nothing of %s's kind", f.Name())
		}
	}
	x.usage(&relay.Outcome{}).ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch f.Name() {
		case "at_ms", "duration_ms", "outcome":
			if v.String() != "before" && v.String() != "7" {
				return true
			}
		}
		t.Errorf("%s is still %v", f.Name(), v)
		return true
	})
}
