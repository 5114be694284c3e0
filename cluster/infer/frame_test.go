package infer

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestAFrameHasALimit(t *testing.T) {
	if _, err := appendCall(nil, &wire.Call{Tenant: strings.Repeat("x", maxCall)}); err == nil {
		t.Error("a call beyond the limit was framed")
	}
	if _, err := appendCall(nil, &wire.Call{Tenant: "\xff"}); err == nil {
		t.Error("a call that is no UTF-8 was framed")
	}
	for name, raw := range map[string]string{
		"empty": "", "cut prefix": "\x00\x00", "cut body": "\x00\x00\x00\x05ab", "too long": "\xff\xff\xff\xff", "no message": "\x00\x00\x00\x01\xff",
	} {
		if _, _, err := readCall(strings.NewReader(raw)); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadCall(f *testing.F) {
	good, err := appendCall(nil, &wire.Call{RequestId: "r", Regions: []string{"eu"}, Attempt: 1, DeadlineMs: 5})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, took, err := readCall(bytes.NewReader(raw))
		if err != nil {
			if !errors.Is(err, errFrame) {
				t.Fatal(err)
			}
			return
		}
		if took > int64(len(raw)) || took > prefix+maxCall {
			t.Fatalf("took %d of %d bytes", took, len(raw))
		}
		target, call := callFromWire(c)
		back := callToWire(target, &call)
		c.ProtoReflect().SetUnknown(nil)
		if !proto.Equal(back, c) {
			t.Fatalf("%v became %v", c, back)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(loadText(spec.Load{Instance: "i", Ready: true, Seq: 3}), []byte(`{"code":"internal","message":"m","broken":true}`), "busy")
	f.Add("!", []byte("{"), "a\nb")
	f.Fuzz(func(t *testing.T, load string, raw []byte, reason string) {
		if l, ok := loadFromText(load, time.Time{}); ok {
			again, ok := loadFromText(loadText(l), time.Time{})
			if sane := l.KVUse == l.KVUse && l.BacklogSeconds == l.BacklogSeconds && l.PrefillTPS == l.PrefillTPS && l.DecodeTPS == l.DecodeTPS; !ok || sane && again != l {
				t.Fatalf("%+v became %+v", l, again)
			}
		}
		if err := parseFailure(raw); err == nil {
			t.Fatal("a failure became a success")
		}
		for _, r := range headerText(reason) {
			if r < ' ' || r > '~' {
				t.Fatalf("%q in a header", r)
			}
		}
	})
}

func TestALoadSurvivesItsExtremes(t *testing.T) {
	for _, l := range []spec.Load{{}, {Instance: "i", Slots: math.MaxInt32, Seq: math.MaxUint64}, {Slots: -1}} {
		got, ok := loadFromText(loadText(l), time.Time{})
		l.Slots = max(l.Slots, 0)
		if !ok || got != l {
			t.Errorf("%+v became %+v", l, got)
		}
	}
	if loadText(spec.Load{Instance: "\xff"}) != "" {
		t.Error("an id that is no UTF-8 was packed")
	}
}

// FuzzQuota: what is no request, or too long for one, is refused; what is one is not changed.
func FuzzQuota(f *testing.F) {
	good, err := proto.Marshal(&wire.QuotaRequest{Limit: "key/k"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, raw []byte) {
		q, err := readQuota(bytes.NewReader(raw))
		if err != nil {
			if spec.CodeOf(err) != spec.CodeInvalidRequest {
				t.Fatal(err)
			}
			return
		}
		again, err := proto.Marshal(q)
		if err != nil || len(raw) > MaxQuota {
			t.Fatalf("%v: %v", q, err)
		}
		if same, err := readQuota(bytes.NewReader(again)); err == nil && !proto.Equal(q, same) {
			t.Fatalf("%v became %v", q, same)
		}
	})
}
