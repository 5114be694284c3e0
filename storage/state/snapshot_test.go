package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
)

var update = flag.Bool("update", false, "write the golden snapshot anew")

// generations counts the generations that have keys on disk.
func generations(t testing.TB, r *replica) int {
	t.Helper()
	it, err := r.db.Pebble().NewIter(&pebble.IterOptions{LowerBound: generationPrefix(0), UpperBound: storage.State.End()})
	try(t, err)
	defer it.Close()
	seen := map[string]bool{}
	for ok := it.First(); ok; ok = it.Next() {
		seen[string(it.Key()[:10])] = true
	}
	return len(seen)
}

func TestSnapshotIsTheState(t *testing.T) {
	a, b := filled(t), newReplica(t)
	staff(t, a)
	b.ok(t, putNode(&wire.Node{Id: "old"})) // is gone afterwards
	try(t, b.Restore(io.NopCloser(bytes.NewReader(snapshotOf(t, a.Store)))))
	sameHash(t, "restored", a.Store, b.Store)
	if b.Index() != a.Index() || generations(t, b) != 1 {
		t.Fatalf("at %d with %d generations on disk, want %d with 1", b.Index(), generations(t, b), a.Index())
	}
	for i := range 30 { // and goes on alike: indexes and answers came along
		for _, c := range []*wire.Command{putKey("k1", "acme", "two"), putKey(fmt.Sprintf("k%d", i), "acme", "one"), setNode("n2", removed), revokeKey("k1"), putKey("x", "acme", "one"),
			refresh("s1", "f", fmt.Sprint(i%10), fmt.Sprint((i+1)%10)), removeUser("bob"), noteAudit(&wire.NoteAudit{Action: "try"})} {
			if c.GetLevel() < 2 {
				c.RequestId = fmt.Sprintf("fill/%d", i)
			}
			x, y := a.do(t, c), b.do(t, c)
			if !proto.Equal(x, y) {
				t.Fatalf("%v\nanswers %v here and %v there", c, x, y)
			}
		}
		sameHash(t, "afterwards", a.Store, b.Store)
	}
	again := b.restart(t)
	defer again.db.Close()
	sameHash(t, "after a restart", a.Store, again.Store)
}

func TestSnapshotOfAnEmptyState(t *testing.T) {
	a, b := newReplica(t), newReplica(t)
	try(t, b.ReadSnapshot(bytes.NewReader(snapshotOf(t, a.Store))))
	sameHash(t, "restored", a.Store, b.Store)
}

func TestOldSnapshotIsVerifiedAndIgnored(t *testing.T) {
	a, b := filled(t), filled(t)
	old := snapshotOf(t, a.Store)
	b.Subscribe(func(c Change) { t.Errorf("told of %v", c) })
	before, _ := b.Hash()
	for range 2 {
		try(t, b.ReadSnapshot(bytes.NewReader(old)))
	}
	old[len(old)-1] ^= 1
	if err := b.ReadSnapshot(bytes.NewReader(old)); !errors.Is(err, ErrSnapshot) {
		t.Errorf("a damaged old snapshot: %v", err)
	}
	if after, _ := b.Hash(); !bytes.Equal(before, after) {
		t.Error("the state has changed")
	}
}

// TestOvertakenSnapshot restores a snapshot while entries beyond it are applied.
func TestOvertakenSnapshot(t *testing.T) {
	a, b := filled(t), filled(t)
	a.ok(t, putSetting("a", "1"))
	raw := snapshotOf(t, a.Store)
	slow := io.MultiReader(bytes.NewReader(raw[:len(raw)/2]), readFunc(func() {
		b.ok(t, putSetting("a", "1"))
		b.ok(t, putSetting("a", "2"))
	}), bytes.NewReader(raw[len(raw)/2:]))
	try(t, b.ReadSnapshot(slow))
	a.ok(t, putSetting("a", "2"))
	sameHash(t, "the state", a.Store, b.Store)
	if n := generations(t, b); n != 1 {
		t.Errorf("%d generations are left on disk", n)
	}
}

// A readFunc is called by the reader that comes to it, and gives nothing.
type readFunc func()

func (f readFunc) Read([]byte) (int, error) { f(); return 0, io.EOF }

// signed is a snapshot with that content before its digest.
func signed(parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	digest := sha256.Sum256(body)
	return append(body, digest[:]...)
}

func record(key, value []byte) []byte {
	size := func(b []byte) []byte { return binary.AppendUvarint(nil, uint64(len(b))) }
	return slices.Concat(size(key), key, size(value), value)
}

func TestHostileSnapshot(t *testing.T) {
	r := filled(t)
	good := snapshotOf(t, r.Store)
	before, at := r.Hash()
	head := append([]byte(magic), position{at + 9, 1, 1}.encode()...)
	node := func(id string) []byte { return record(nodes.key(id), encodeNode(t, id)) }
	end := []byte{0}
	late := bytes.Clone(good)
	for i := range 8 { // a later index, without a new digest
		late[len(magic)+i] = 0x7f
	}
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"nothing":                {nil, ErrSnapshot},
		"another format":         {signed([]byte("LOTASTATE2\n"), head[len(magic):], end), ErrSnapshot},
		"a later level":          {signed([]byte(magic), position{at + 9, 1, Level + 1}.encode(), end), ErrLevel},
		"another's digest":       {late, ErrSnapshot},
		"an unknown table":       {signed(head, record([]byte{0x70, 'x'}, nil), end), ErrSnapshot},
		"an index as a table":    {signed(head, record([]byte{byTenant, 'x'}, nil), end), ErrSnapshot},
		"the position":           {signed(head, record([]byte{positionMark, 'x'}, make([]byte, 24)), end), ErrSnapshot},
		"a record without name":  {signed(head, record([]byte{nodes.id}, nil), end), ErrSnapshot},
		"another record's name":  {signed(head, record(nodes.key("n2"), encodeNode(t, "n1")), end), ErrSnapshot},
		"a record that is none":  {signed(head, record(nodes.key("n1"), []byte{0xff}), end), ErrSnapshot},
		"a short answer":         {signed(head, record([]byte{requestsTable, 'x'}, []byte{1}), end), ErrSnapshot},
		"a short use":            {signed(head, record([]byte{usesTable, 'x'}, []byte{1}), end), ErrSnapshot},
		"a short mark":           {signed(head, record([]byte{goneTable, 'x'}, []byte{1}), end), ErrSnapshot},
		"another entry's number": {signed(head, record(audits.key("12345678"), nil), end), ErrSnapshot},
		"a short version":        {signed(head, record([]byte{retiredTable, 'x'}, []byte{1}), end), ErrSnapshot},
		"records out of order":   {signed(head, node("n2"), node("n1"), end), ErrSnapshot},
		"a record twice":         {signed(head, node("n1"), node("n1"), end), ErrSnapshot},
		"no end":                 {signed(head, node("n1")), ErrSnapshot},
		"more after the end":     {append(signed(head, node("n1"), end), 0), ErrSnapshot},
		"a key beyond measure":   {signed(head, []byte{0xff, 0xff, 0xff, 0xff, 0x7f}), ErrSnapshot},
		"a value beyond measure": {signed(head, []byte{3, nodes.id, 'n', '1', 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}), ErrSnapshot},
		"a size without end":     {signed(head, bytes.Repeat([]byte{0xff}, 20)), ErrSnapshot},
	} {
		t.Run(name, func(t *testing.T) {
			if err := r.ReadSnapshot(bytes.NewReader(c.raw)); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	for n := range len(good) { // cut short anywhere
		if err := r.ReadSnapshot(bytes.NewReader(good[:n])); !errors.Is(err, ErrSnapshot) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d of %d bytes: %v", n, len(good), err)
		}
	}
	if after, now := r.Hash(); now != at || !bytes.Equal(before, after) {
		t.Error("a bad snapshot has changed the state")
	}
	if n := generations(t, r); n != 1 {
		t.Errorf("bad snapshots left %d generations on disk", n)
	}
	try(t, r.ReadSnapshot(bytes.NewReader(signed(head, node("n1"), end)))) // the parts above are not bad by themselves
	if r.Index() != at+9 || len(r.Nodes()) != 1 {
		t.Errorf("at %d with %v", r.Index(), r.Nodes())
	}
}

func encodeNode(t testing.TB, id string) []byte {
	raw, err := proto.Marshal(&wire.Node{Id: id})
	try(t, err)
	return raw
}

var errLost = errors.New("the line went dead")

func TestReadersErrorIsKept(t *testing.T) {
	r, a := newReplica(t), filled(t)
	raw := snapshotOf(t, a.Store)
	err := r.ReadSnapshot(io.MultiReader(bytes.NewReader(raw[:300]), failing{}))
	if !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	if _, err := a.WriteSnapshot(failing{}); !errors.Is(err, errLost) {
		t.Fatal(err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error)  { return 0, errLost }
func (failing) Write([]byte) (int, error) { return 0, errLost }

// TestGoldenSnapshot holds the format of snapshots and of records: members of
// other builds send and have them, so a change needs a new magic, or a new level.
func TestGoldenSnapshot(t *testing.T) {
	r := filled(t)
	file := filepath.Join("testdata", "snapshot-1.golden")
	raw := snapshotOf(t, r.Store)
	if *update {
		try(t, os.MkdirAll("testdata", 0o755))
		try(t, os.WriteFile(file, raw, 0o644))
	}
	golden, err := os.ReadFile(file)
	try(t, err)
	old := newReplica(t)
	try(t, old.ReadSnapshot(bytes.NewReader(golden)))
	sameHash(t, "the golden snapshot and this build's state", old.Store, r.Store)
	if !bytes.Equal(raw, golden) {
		t.Error("this build writes the same state as other bytes")
	}
	const want = "b416b45723f7aadc"
	if hash, _ := r.Hash(); hex.EncodeToString(hash[:8]) != want {
		t.Errorf("the hash is %x, want %s: records or indexes have another form on disk", hash[:8], want)
	}
}

// FuzzSnapshot looks for a stream that makes the reader panic, that is refused
// and changes the state all the same, or that is taken and comes to a state that
// cannot be sent on. The digest is made here, or nothing would get past it.
func FuzzSnapshot(f *testing.F) {
	seed := filled(f)
	staff(f, seed)
	good := snapshotOf(f, seed.Store)
	f.Add(good[len(magic)+positionBytes : len(good)-sha256.Size])
	f.Add(append(record(nodes.key("n1"), encodeNode(f, "n1")), 0))
	f.Add([]byte{0})
	r, next := newReplica(f), newReplica(f)
	fill(f, r)
	f.Fuzz(func(t *testing.T, body []byte) {
		before, at := r.Hash()
		raw := signed([]byte(magic), position{at + 1, 1, 1}.encode(), body)
		if err := r.ReadSnapshot(bytes.NewReader(raw)); err != nil {
			if after, now := r.Hash(); now != at || !bytes.Equal(before, after) {
				t.Fatalf("a refused snapshot (%v) has changed the state", err)
			}
			return
		}
		try(t, next.ReadSnapshot(bytes.NewReader(snapshotOf(t, r.Store))))
		sameHash(t, "sent on", r.Store, next.Store)
		for _, k := range r.Placements() { // index entries go with records that have odd names
			r.Placement(k.GetInstance())
		}
		r.Keys("acme", "", 10)
		for _, f := range []AuditFilter{{}, {FromMS: 1, Newest: true}, {Actor: "key/boss"}} {
			for cursor, more := "", true; more; more = cursor != "" {
				_, cursor = r.Audit(f, cursor, 3)
			}
		}
		if res := r.do(t, noteAudit(&wire.NoteAudit{Action: "on"})); res.GetCode() != "" {
			t.Fatalf("%v", res)
		}
	})
}
