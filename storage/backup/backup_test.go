package backup

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/state"
)

func try(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func emptyState(t testing.TB) *state.Store {
	t.Helper()
	db, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	try(t, err)
	t.Cleanup(func() { try(t, db.Close()) })
	s, err := state.Open(db)
	try(t, err)
	return s
}

const told = "a-name-that-must-not-be-told"

// filled is a state with a tenant and so many keys, one of which was revoked.
func filled(t testing.TB, keys int) *state.Store {
	t.Helper()
	s := emptyState(t)
	index := uint64(1)
	apply := func(c *wire.Command) {
		index++
		c.RequestId, c.AtMs, c.Level = fmt.Sprint("r", index), 1_790_000_000_000, 1
		raw, err := proto.Marshal(c)
		try(t, err)
		if r := s.Apply(&raft.Log{Index: index, Term: 3, Data: raw}).(*wire.Result); r.GetCode() != "" {
			t.Fatal(r)
		}
	}
	apply(&wire.Command{Body: &wire.Command_PutTenant{PutTenant: &wire.PutTenant{Tenant: &wire.Tenant{Id: "default", Name: told}}}})
	for i := range keys {
		apply(&wire.Command{Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: &wire.APIKey{
			Id: fmt.Sprintf("k%06d", i), Tenant: "default", Name: fmt.Sprintf("%s-%d", told, i), Hash: bytes.Repeat([]byte{byte(i)}, 32), Scopes: []string{"infer"}}}}})
	}
	apply(&wire.Command{Body: &wire.Command_RevokeKey{RevokeKey: &wire.RevokeKey{Id: "k000000"}}})
	return s
}

func pair(t testing.TB) *age.X25519Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	try(t, err)
	return key
}

func written(t testing.TB, s *state.Store, to ...age.Recipient) ([]byte, Manifest) {
	t.Helper()
	f, err := s.Freeze()
	try(t, err)
	defer f.Close()
	var out bytes.Buffer
	m, err := Write(&out, f, nil, Manifest{Cluster: "lb-0123", Node: "n1", Build: "test", Time: time.Now()}, to...)
	try(t, err)
	return out.Bytes(), m
}

func TestRoundTrip(t *testing.T) {
	from, key := filled(t, 3000), pair(t)
	raw, m := written(t, from, pair(t).Recipient(), key.Recipient())
	hash, index := from.Hash()
	if m.Index != index || m.StateHash != hex.EncodeToString(hash) || !m.Matches(hash, index) || m.Matches(hash, index+1) {
		t.Fatalf("the manifest %+v is not of the state", m)
	}
	if bytes.Contains(raw, []byte(told)) || bytes.Contains(raw, []byte("k000001")) {
		t.Fatal("something of the state is in the file in clear")
	}
	head, err := ReadManifest(bytes.NewReader(raw))
	if err != nil || head != m {
		t.Fatalf("without a key: %+v, %v", head, err)
	}
	if got, err := Verify(bytes.NewReader(raw), key); err != nil || got != m {
		t.Fatalf("verified: %+v, %v", got, err)
	}
	if _, err := Verify(bytes.NewReader(raw), pair(t)); !errors.Is(err, ErrKey) || errors.Is(err, ErrDamaged) {
		t.Fatalf("with another's key: %v", err)
	}
	to := emptyState(t)
	r, err := NewReader(bytes.NewReader(raw), key)
	try(t, err)
	defer r.Close()
	_, err = r.Into(to, m.Index)
	try(t, err)
	if !r.Manifest.Matches(to.Hash()) {
		t.Fatal("the restored state is another")
	}
	if k, ok := to.Key("k000000"); !ok || k.GetRevokedMs() == 0 {
		t.Fatalf("the revoked key came back as %v", k)
	}
}

func TestEntriesGoOnMeanwhile(t *testing.T) {
	s, key := filled(t, 10), pair(t)
	f, err := s.Freeze()
	try(t, err)
	defer f.Close()
	want, at := s.Hash()
	_, err = s.ApplyEntry(&wire.Entry{Index: at + 5, Term: 3})
	try(t, err)
	var out bytes.Buffer
	m, err := Write(&out, f, nil, Manifest{Cluster: "lb-1"}, key.Recipient())
	try(t, err)
	if !m.Matches(want, at) {
		t.Fatalf("the backup is of %d, want %d", m.Index, at)
	}
	_, err = Verify(&out, key)
	try(t, err)
}

func TestAlwaysSealed(t *testing.T) {
	f, err := filled(t, 1).Freeze()
	try(t, err)
	defer f.Close()
	var out bytes.Buffer
	if _, err := Write(&out, f, nil, Manifest{Cluster: "lb-1"}); err == nil || out.Len() != 0 {
		t.Fatalf("a backup to nobody: %v, %d bytes", err, out.Len())
	}
}

// TestEveryDamageIsFound changes every byte, cuts at every length and appends.
func TestEveryDamageIsFound(t *testing.T) {
	key := pair(t)
	alone, _ := written(t, filled(t, 4), key.Recipient())
	s := newServer(t, t.TempDir())
	defer s.close()
	for i := range 4 {
		s.setting(i)
	}
	s.snapshot(0)
	for i := range 4 {
		s.setting(i)
	}
	wound, m := s.backup(key)
	if m.From != 4 || m.Index != 8 {
		t.Fatalf("the backup reaches over %s", m.Range())
	}
	old, err := os.ReadFile(golden)
	try(t, err)
	oldKey, err := age.ParseX25519Identity(fuzzKey)
	try(t, err)
	for what, f := range map[string]struct {
		raw []byte
		key Identity
	}{"of one state": {alone, key}, "of several": {wound, key}, "of format 1": {old, oldKey}} {
		damageEach(t, what, f.raw, f.key)
	}
}

func damageEach(t *testing.T, what string, raw []byte, key Identity) {
	check := func(how string, damaged []byte) {
		t.Helper()
		_, err := Verify(bytes.NewReader(damaged), key)
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrKey) && !errors.Is(err, ErrNewer) {
			t.Fatalf("%s, %s: %v", what, how, err)
		}
		var d *Damage
		if errors.As(err, &d) && (d.Part == "" || d.At < 0 || d.At > int64(len(damaged))) {
			t.Fatalf("%s, %s: the place is %+v", what, how, d)
		}
	}
	step := 1
	if testing.Short() { // one goroutine reads them all: little for the race detector
		step = 17
	}
	for i := 0; i < len(raw); i += step {
		bad := bytes.Clone(raw)
		bad[i] ^= 0x04
		check(fmt.Sprintf("byte %d changed", i), bad)
		check(fmt.Sprintf("cut at %d", i), raw[:i])
	}
	check("with a byte more", append(bytes.Clone(raw), 0))
	r, err := NewReader(bytes.NewReader(raw[:len(raw)-1]), key)
	if err == nil {
		_, err = r.Into(emptyState(t), r.Manifest.Index)
		r.Close()
	}
	if !errors.Is(err, ErrDamaged) {
		t.Fatalf("%s: a damaged backup was restored: %v", what, err)
	}
}

func TestTheDisksTroubleIsNoDamage(t *testing.T) {
	raw, _ := written(t, filled(t, 4), pair(t).Recipient())
	trouble := errors.New("input/output error")
	for _, n := range []int{3, 40, 300, len(raw) - 1} {
		_, err := Verify(io.MultiReader(bytes.NewReader(raw[:n]), failing{trouble}), pair(t))
		if errors.Is(err, ErrDamaged) || !errors.Is(err, trouble) && !errors.Is(err, ErrKey) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestReseal(t *testing.T) {
	between, last := pair(t), pair(t)
	raw, m := written(t, filled(t, 200), between.Recipient())
	var out bytes.Buffer
	got, err := Reseal(&out, bytes.NewReader(raw), between, last.Recipient())
	if err != nil || got != m {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := Verify(bytes.NewReader(out.Bytes()), between); !errors.Is(err, ErrKey) {
		t.Fatalf("the key in between opens it still: %v", err)
	}
	got, err = Verify(&out, last)
	if err != nil || got != m {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := Reseal(io.Discard, bytes.NewReader(raw[:len(raw)-9]), between, last.Recipient()); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a backup cut short: %v", err)
	}
	if _, err := Reseal(failingWriter{}, bytes.NewReader(raw), between, last.Recipient()); err == nil || errors.Is(err, ErrDamaged) {
		t.Fatalf("a full disk: %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestKeys(t *testing.T) {
	key := pair(t)
	if got, err := Recipients([]string{" " + key.Recipient().String() + " "}); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range [][]string{nil, {""}, {"age1nonsense"}, {key.String()}, {key.Recipient().String() + "\n" + key.Recipient().String()}} {
		if _, err := Recipients(bad); err == nil {
			t.Errorf("%.20q are recipients", bad)
		}
	}
	if _, err := Identities(strings.NewReader("# made today\n" + key.String() + "\n")); err != nil {
		t.Error(err)
	}
	if _, err := Identities(strings.NewReader(key.String() + "x")); err == nil || strings.Contains(err.Error(), key.String()[20:]) {
		t.Errorf("the error is %v", err)
	}
	if _, err := PassphraseRecipient(strings.NewReader("short\nand a second line")); err == nil {
		t.Error("a passphrase of 5 bytes is good enough")
	}
	// By the real passphrase functions, but with little work.
	to, err := PassphraseRecipient(strings.NewReader("correct horse battery\n"))
	try(t, err)
	to.(*age.ScryptRecipient).SetWorkFactor(8)
	raw, m := written(t, filled(t, 3), to)
	for text, want := range map[string]error{"correct horse battery\r\nmore": nil, "correct horse batterx": ErrKey} {
		with, err := PassphraseIdentity(strings.NewReader(text))
		try(t, err)
		if got, err := Verify(bytes.NewReader(raw), with); !errors.Is(err, want) || want == nil && got != m {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}
