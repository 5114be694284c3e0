package wire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

var update = flag.Bool("update", false, "write testdata/golden.txt anew; review what changes")

var golden = filepath.Join("testdata", "golden.txt")

// messages are all that the .proto files declare.
func messages() []protoreflect.MessageType {
	var out []protoreflect.MessageType
	for _, file := range []protoreflect.FileDescriptor{File_cluster_wire_state_proto, File_cluster_wire_load_proto, File_cluster_wire_actor_proto, File_cluster_wire_infer_proto, File_cluster_wire_usage_proto} {
		for i := range file.Messages().Len() {
			d := file.Messages().Get(i)
			kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
			if err != nil {
				panic(err) // generated code registers all of them
			}
			out = append(out, kind)
		}
	}
	return out
}

// fill gives every field a value that tells it from its neighbours. Of a oneof
// it takes the member of that number alone; 0: none.
func fill(m protoreflect.Message, depth int, member protoreflect.FieldNumber) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.ContainingOneof() != nil && f.Number() != member {
			continue
		}
		switch {
		case f.IsMap():
			m.Mutable(f).Map().Set(scalar(f.MapKey()).MapKey(), scalar(f.MapValue()))
		case f.IsList() && f.Message() != nil:
			if depth > 0 {
				fill(m.Mutable(f).List().AppendMutable().Message(), depth-1, 0)
			}
		case f.IsList():
			m.Mutable(f).List().Append(scalar(f))
		case f.Message() != nil:
			if depth > 0 {
				fill(m.Mutable(f).Message(), depth-1, 0)
			}
		default:
			m.Set(f, scalar(f))
		}
	}
}

func scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	n := uint64(f.Number())
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(string(f.Name()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(f.Name()))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(f.Enum().Values().Len() - 1).Number())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(1000 + n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(1<<40 + n)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1<<40 + int64(n))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) + 0.25)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n) + 0.5)
	}
	panic("no sample of kind " + f.Kind().String())
}

// samples are one encoding of each message, and of Command one for each body.
func samples(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	add := func(name string, m protoreflect.Message) {
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
		if err != nil {
			t.Fatal(err)
		}
		out[name] = raw
	}
	for _, kind := range messages() {
		m := kind.New()
		fill(m, 2, 0)
		add(string(kind.Descriptor().Name()), m)
		for i := range kind.Descriptor().Oneofs().Len() {
			members := kind.Descriptor().Oneofs().Get(i).Fields()
			for j := range members.Len() {
				m := kind.New()
				fill(m, 2, members.Get(j).Number())
				add(fmt.Sprintf("%s.%s", kind.Descriptor().Name(), members.Get(j).Name()), m)
			}
		}
	}
	return out
}

// TestTheEncodingStays compares the bytes of each message with those kept: logs
// on disk and members of other builds have them. A new message or field changes
// or adds a line, which -update writes; a line that changed otherwise is a break.
func TestTheEncodingStays(t *testing.T) {
	got := samples(t)
	if *update {
		var text strings.Builder
		for _, name := range sorted(got) {
			fmt.Fprintf(&text, "%s %x\n", name, got[name])
		}
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept := readGolden(t)
	for name, raw := range got {
		if want, ok := kept[name]; !ok {
			t.Errorf("%s has no line in %s", name, golden)
		} else if !bytes.Equal(raw, want) {
			t.Errorf("%s is encoded differently:\n is  %x\n was %x", name, raw, want)
		}
	}
	for name := range kept {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
}

// TestWhatWasKeptIsUnderstood decodes the kept bytes: no field of theirs is unknown.
func TestWhatWasKeptIsUnderstood(t *testing.T) {
	kept := readGolden(t)
	for _, kind := range messages() {
		name := string(kind.Descriptor().Name())
		for line, raw := range kept {
			if line != name && !strings.HasPrefix(line, name+".") {
				continue
			}
			m := kind.New()
			if err := proto.Unmarshal(raw, m.Interface()); err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			if n := len(m.GetUnknown()); n > 0 {
				t.Errorf("%s: %d bytes are of unknown fields", line, n)
			}
		}
	}
}

// TestNumbersOfEnums are kept apart from messages, which have the last value alone.
func TestNumbersOfEnums(t *testing.T) {
	for name, number := range map[string]int32{
		"NODE_STATE_ACTIVE": 1, "NODE_STATE_DRAINING": 2, "NODE_STATE_REMOVED": 3,
	} {
		if NodeState_value[name] != number {
			t.Errorf("%s is %d", name, NodeState_value[name])
		}
	}
	for name, number := range map[string]int32{
		"INSTANCE_STATE_LOADING": 1, "INSTANCE_STATE_READY": 2, "INSTANCE_STATE_DRAINING": 3,
		"INSTANCE_STATE_FAILED": 4, "INSTANCE_STATE_RESTARTING": 5, "INSTANCE_STATE_GONE": 6,
	} {
		if InstanceState_value[name] != number {
			t.Errorf("%s is %d", name, InstanceState_value[name])
		}
	}
}

func readGolden(t *testing.T) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%s: %s: %v", golden, name, err)
		}
		out[name] = raw
	}
	return out
}

func sorted(m map[string][]byte) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}
