package state

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// unreadable are entries that this build must not step over.
func unreadable(t testing.TB) map[string][]byte {
	late := putSetting("colour", "red")
	late.Level = Level + 4
	return map[string][]byte{
		"a later level":    encode(t, late),
		"an unknown body":  protowire.AppendBytes(protowire.AppendTag(encode(t, &wire.Command{Level: Level}), 900, protowire.BytesType), []byte("x")),
		"no body":          encode(t, &wire.Command{Level: Level, RequestId: "x"}),
		"no command":       {0xff, 0xff},
		"nothing whatever": nil,
	}
}

func TestUnknownCommandHalts(t *testing.T) {
	r := filled(t)
	before, at := r.Hash()
	for name, raw := range unreadable(t) {
		t.Run(name, func(t *testing.T) {
			told := panicOf(func() { r.Apply(&raft.Log{Index: at + 1, Term: 1, Data: raw}) })
			if !strings.Contains(told, fmt.Sprintf("entry %d", at+1)) {
				t.Fatalf("Apply halts with %q", told)
			}
			if strings.Contains(name, "level") && !(strings.Contains(told, fmt.Sprint("level ", Level+4)) && strings.Contains(told, fmt.Sprint("level ", Level))) {
				t.Errorf("%q does not name both levels", told)
			}
			if len(raw) > 0 { // in the feed, an entry without a command is Raft's own
				if _, err := r.ApplyEntry(&wire.Entry{Index: at + 1, Term: 1, Command: raw}); !errors.Is(err, ErrLevel) {
					t.Errorf("ApplyEntry: %v", err)
				}
			}
			if after, now := r.Hash(); now != at || r.Index() != at || !bytes.Equal(before, after) {
				t.Errorf("the state has gone on to %d", now)
			}
		})
	}
	r.ok(t, putSetting("colour", "red")) // nothing is held that the next would need
}

// TestEveryBodyIsCarriedOut: a body that wire has and this package does not know
// would end every node that comes to it.
func TestEveryBodyIsCarriedOut(t *testing.T) {
	r := newReplica(t)
	bodies := (&wire.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range bodies.Len() {
		f := bodies.Get(i)
		c := &wire.Command{Level: 1, AtMs: 1000, RequestId: string(f.Name())}
		m := c.ProtoReflect()
		m.Set(f, m.NewField(f))
		want := uint64(1)
		switch {
		case f.Number() >= 47:
			want = 6
		case f.Number() >= 46:
			want = 5
		case f.Number() >= 45:
			want = 4
		case f.Number() >= 30:
			want = 2
		}
		if got := needs(c); uint64(got) != want {
			t.Errorf("%s needs level %d, want %d", f.Name(), got, want)
		}
		if res := r.do(t, c); res.GetCode() == "" && f.Name() != "touch_keys" {
			t.Errorf("%s says nothing and was carried out", f.Name())
		}
		if r.Needs() < want {
			t.Errorf("after %s the state needs level %d", f.Name(), r.Needs())
		}
	}
}

func panicOf(fn func()) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprint(r)
		}
	}()
	fn()
	return ""
}

func TestOldEntriesAreSkipped(t *testing.T) {
	r := filled(t)
	c := putSetting("colour", "red")
	c.RequestId = "paint"
	first := r.ok(t, c)
	r.ok(t, putSetting("size", "1"))
	before, at := r.Hash()

	again := r.Apply(&raft.Log{Index: first.GetIndex(), Term: 1, Data: encode(t, c)}).(*wire.Result)
	if again.GetCode() != "" || !again.GetReplayed() || again.GetIndex() != first.GetIndex() {
		t.Errorf("a remembered entry answers %v", again)
	}
	unknown := r.Apply(&raft.Log{Index: at, Term: 1, Data: encode(t, putSetting("size", "1"))}).(*wire.Result)
	if unknown.GetCode() != string(spec.CodeOutcomeUnknown) {
		t.Errorf("an entry whose answer is not remembered answers %v", unknown)
	}
	for name, raw := range unreadable(t) { // a newer build has applied them, and sent its state
		if res := r.Apply(&raft.Log{Index: at, Term: 1, Data: raw}).(*wire.Result); res.GetCode() != string(spec.CodeOutcomeUnknown) {
			t.Errorf("%s: %v", name, res)
		}
	}
	r.StoreConfiguration(at, raft.Configuration{})
	if _, err := r.ApplyEntry(&wire.Entry{Index: at, Term: 1, Command: encode(t, c)}); !errors.Is(err, ErrOutOfOrder) {
		t.Errorf("ApplyEntry of an old entry: %v", err)
	}
	if after, now := r.Hash(); now != at || !bytes.Equal(before, after) {
		t.Error("old entries have changed the state")
	}
	if told := panicOf(func() { r.Apply(&raft.Log{Index: at, Term: 2, Data: encode(t, c)}) }); !strings.Contains(told, "term 2") {
		t.Errorf("a log that was rewritten under the state: %q", told)
	}
}

func TestConfigurationsMoveTheIndexOn(t *testing.T) {
	r := filled(t)
	hash, at := r.Hash()
	r.StoreConfiguration(at+3, raft.Configuration{})
	if now, index := r.Hash(); index != at+3 || r.Index() != at+3 || !bytes.Equal(now, hash) {
		t.Fatalf("at %d, wanted %d with the same records", index, at+3)
	}
	f := newReplica(t)
	fill(t, f)
	list, ok := r.Entries(at, 0)
	if !ok || len(list) != 1 || len(list[0].GetCommand()) != 0 {
		t.Fatalf("the feed is given %v", list)
	}
	if _, err := f.ApplyEntry(list[0]); err != nil {
		t.Fatal(err)
	}
	sameHash(t, "follower", r.Store, f.Store)
}

func TestRequestsAreAnsweredOnce(t *testing.T) {
	r := newReplica(t)
	c := putKey("k1", "acme", "one")
	c.RequestId = "create"
	first := r.ok(t, c)
	for range 2 {
		other := putKey("k2", "acme", "two") // a retry may differ: it is the id that counts
		other.RequestId = "create"
		again := r.ok(t, other)
		if !again.GetReplayed() || again.GetIndex() != first.GetIndex() {
			t.Fatalf("the retry is answered %v", again)
		}
		r = r.restart(t)
	}
	if _, ok := r.Key("k2"); ok {
		t.Fatal("a request was applied twice")
	}
	c = revokeKey("none")
	c.RequestId = "revoke"
	r.do(t, c)
	if again := r.do(t, c); again.GetCode() != string(spec.CodeNotFound) || !again.GetReplayed() {
		t.Fatalf("a refusal is answered again as %v", again)
	}
	c = putSetting("a", "b")
	c.RequestId = strings.Repeat("x", maxRequest+1)
	if res := r.do(t, c); res.GetCode() != string(spec.CodeInvalidRequest) {
		t.Fatalf("a request id that is too long: %v", res)
	}
	r.db.Close()
}

// replayed tells which of the requests 0 to n-1 are still remembered.
func replayed(t *testing.T, r *replica, n int) (first, count int) {
	t.Helper()
	r.mu.RLock()
	defer r.mu.RUnlock()
	first = -1
	for i := range n {
		if _, ok := r.view().remembered(fmt.Sprint(i)); ok {
			count++
			if first < 0 {
				first = i
			}
		}
	}
	return first, count
}

func TestOldAnswersAreForgotten(t *testing.T) {
	l := usual
	l.requests, l.life = 10, time.Minute
	r := start(t, vfs.NewMem(), l)
	send := func(i int, at time.Duration) {
		c := putSetting("n", fmt.Sprint(i))
		c.RequestId, c.AtMs = fmt.Sprint(i), at.Milliseconds()
		if i%3 == 2 {
			c = revokeKey("none") // refusals are remembered too
			c.RequestId, c.AtMs = fmt.Sprint(i), at.Milliseconds()
		}
		r.do(t, c)
	}
	for i := range 25 {
		send(i, time.Hour)
		if i == 12 {
			r = r.restart(t)
		}
	}
	if first, count := replayed(t, r, 25); first != 15 || count != 10 {
		t.Fatalf("%d are remembered, from %d on: want 10 from 15 on", count, first)
	}
	send(25, time.Hour+time.Minute)
	if _, count := replayed(t, r, 26); count != 10 {
		t.Fatalf("%d are remembered at the end of their life, want 10", count)
	}
	send(26, time.Hour+time.Minute+time.Millisecond)
	if first, count := replayed(t, r, 27); first != 25 || count != 2 {
		t.Fatalf("%d are remembered, from %d on: want 2 from 25 on", count, first)
	}
	r = r.restart(t)
	if r.writing.requests != 2 {
		t.Fatalf("%d are counted at start, want 2", r.writing.requests)
	}
	r.db.Close()
}
