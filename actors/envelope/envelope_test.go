package envelope

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestEveryKindComesBack(t *testing.T) {
	now := time.Now()
	for _, m := range []proto.Message{
		&wire.LoadModel{Instance: "i", Epoch: 7}, &wire.UnloadModel{Instance: "i", Drain: true}, &wire.Drain{Reason: "r"},
		&wire.Resume{}, &wire.Describe{}, &wire.Ack{Code: "c", Load: &wire.DeviceLoad{Device: "d"}},
	} {
		e, err := Pack(m, "n1", now.Add(time.Second), map[string]string{"request-id": "r"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open(e, now)
		if err != nil || !proto.Equal(got, m) {
			t.Errorf("%s came back as %v, %v", e.Kind, got, err)
		}
	}
	if len(kinds) != 6 {
		t.Errorf("%d kinds; this test knows 6", len(kinds))
	}
}

func TestOpenRefuses(t *testing.T) {
	now := time.Now()
	good, err := Pack(&wire.LoadModel{Instance: "i"}, "n1", time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		bend func(*wire.Envelope)
		code spec.Code
	}{
		{"an unknown kind", func(e *wire.Envelope) { e.Kind = "Reshard" }, spec.CodeFeatureLevel},
		{"no version", func(e *wire.Envelope) { e.Version = 0 }, spec.CodeInvalidRequest},
		{"a damaged payload", func(e *wire.Envelope) { e.Payload = []byte{0xff} }, spec.CodeInvalidRequest},
		{"a huge payload", func(e *wire.Envelope) { e.Payload = make([]byte, MaxPayload+1) }, spec.CodeInvalidRequest},
		{"an old one", func(e *wire.Envelope) { e.DeadlineMs = now.Add(-time.Hour).UnixMilli() }, spec.CodeDeadline},
		{"a refused one", func(e *wire.Envelope) { e.Kind = Refused }, spec.CodeForbidden},
	}
	for _, c := range cases {
		e := proto.CloneOf(good)
		c.bend(e)
		if _, err := Open(e, now); err == nil || spec.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
	late := proto.CloneOf(good)
	late.DeadlineMs = now.Add(-10 * time.Second).UnixMilli()
	if _, err := Open(late, now); err != nil {
		t.Errorf("clocks 10 s apart: %v", err)
	}
}

func TestPackRefusesStrangers(t *testing.T) {
	if _, err := Pack(&wire.Command{}, "n", time.Time{}, nil); err == nil {
		t.Error("a Raft command was packed")
	}
	if _, err := Pack(&wire.Drain{Reason: strings.Repeat("x", MaxPayload+1)}, "n", time.Time{}, nil); err == nil {
		t.Error("a huge message was packed")
	}
}

func TestRoles(t *testing.T) {
	for kind, want := range map[string]bool{"LoadModel": true, "UnloadModel": true, "Drain": true, "Resume": true, "Describe": false, "Ack": false, "Later": false} {
		if VotersOnly(kind) != want {
			t.Errorf("VotersOnly(%s) is %v", kind, !want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	e, _ := Pack(&wire.LoadModel{Instance: "i", Options: map[string]string{"a": "b"}}, "n", time.Time{}, nil)
	raw, _ := proto.Marshal(e)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e wire.Envelope
		if proto.Unmarshal(raw, &e) != nil {
			return
		}
		if m, err := Open(&e, time.Unix(0, 0)); (m == nil) == (err == nil) {
			t.Errorf("message %v and error %v", m, err)
		}
	})
}
