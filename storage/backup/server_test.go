package backup

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/raftlog"
	"github.com/lotabots/lotabots/storage/snapshot"
	"github.com/lotabots/lotabots/storage/state"
)

// A server is what a Raft server has on disk, driven as Raft does it.
type server struct {
	t     testing.TB
	dir   string // of the snapshots
	db    *storage.DB
	logs  *raftlog.Store
	taken *snapshot.Store
	*state.Store
	last, term uint64
	hashes     map[uint64]string // of the state, by index
	began      time.Time
}

func newServer(t testing.TB, dir string) *server {
	t.Helper()
	db, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	try(t, err)
	s := &server{t: t, dir: dir, db: db, logs: raftlog.New(db), term: 1, hashes: map[uint64]string{}, began: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	s.taken, err = snapshot.Open(dir, 2, nil)
	try(t, err)
	s.Store, err = state.Open(db)
	try(t, err)
	return s
}

func (s *server) close() { try(s.t, s.db.Close()) }

// at is the time that the command at an index is given: a second after the one before.
func (s *server) at(index uint64) time.Time { return s.began.Add(time.Duration(index) * time.Second) }

func (s *server) record() {
	sum, _ := s.Hash()
	s.hashes[s.last] = hex.EncodeToString(sum)
}

// command logs and applies a command.
func (s *server) command(c *wire.Command) {
	s.t.Helper()
	s.last++
	c.RequestId, c.AtMs, c.Level = fmt.Sprint("r", s.last), s.at(s.last).UnixMilli(), 1
	raw, err := proto.Marshal(c)
	try(s.t, err)
	l := &raft.Log{Index: s.last, Term: s.term, Type: raft.LogCommand, Data: raw}
	try(s.t, s.logs.StoreLog(l))
	if r := s.Apply(l).(*wire.Result); r.GetCode() != "" {
		s.t.Fatal(r)
	}
	s.record()
}

func (s *server) setting(value int) {
	s.command(&wire.Command{Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: fmt.Sprint("s", value%3), Value: fmt.Sprint(value)}}})
}

func (s *server) key(id string) {
	s.command(&wire.Command{Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: &wire.APIKey{
		Id: id, Tenant: "default", Name: "name of " + id, Hash: make([]byte, 32), Scopes: []string{"infer"}}}}})
}

// lead logs what a new leader begins with.
func (s *server) lead() {
	s.last, s.term = s.last+1, s.term+1
	try(s.t, s.logs.StoreLog(&raft.Log{Index: s.last, Term: s.term, Type: raft.LogNoop}))
	s.record()
}

// configure logs a change of the servers.
func (s *server) configure() {
	s.last++
	c := raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: "n1"}}}
	try(s.t, s.logs.StoreLog(&raft.Log{Index: s.last, Term: s.term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c)}))
	s.StoreConfiguration(s.last, c)
	s.record()
}

// snapshot takes one, and leaves so many entries below it in the log.
func (s *server) snapshot(trailing uint64) {
	s.t.Helper()
	moment, err := s.Snapshot()
	try(s.t, err)
	defer moment.Release()
	sink, err := s.taken.Create(1, s.last, s.term, raft.Configuration{}, 0, nil)
	try(s.t, err)
	try(s.t, moment.Persist(sink))
	if s.last > trailing {
		try(s.t, s.logs.DeleteRange(1, s.last-trailing))
	}
}

// lose opens the snapshots again, one of which is not whole any more.
func (s *server) lose(id string) {
	s.t.Helper()
	try(s.t, os.Truncate(filepath.Join(s.dir, id+".state"), 10))
	var err error
	s.taken, err = snapshot.Open(s.dir, 2, nil)
	try(s.t, err)
}

// backup makes one, of what history finds.
func (s *server) backup(key *age.X25519Identity) ([]byte, Manifest) {
	s.t.Helper()
	f, err := s.Freeze()
	try(s.t, err)
	defer f.Close()
	h, err := FindHistory(f, s.taken, s.last, slog.New(slog.DiscardHandler))
	try(s.t, err)
	defer h.Close()
	return s.write(f, h, key)
}

func (s *server) write(f *state.Frozen, h *History, key *age.X25519Identity) ([]byte, Manifest) {
	s.t.Helper()
	var out bytes.Buffer
	m, err := Write(&out, f, h, Manifest{Cluster: "lb-1", Node: "n1", Build: "test", Current: true, Time: s.at(s.last + 10)}, key.Recipient())
	try(s.t, err)
	return out.Bytes(), m
}

// restored is the state at an index of a backup, by its hash.
func restored(t testing.TB, raw []byte, key Identity, index uint64) (hash string, more int) {
	t.Helper()
	db, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	try(t, err)
	defer func() { try(t, db.Close()) }()
	s, err := state.Open(db)
	try(t, err)
	if more, err = into(s, raw, key, index); err != nil {
		t.Fatalf("restoring to index %d: %v", index, err)
	}
	sum, _ := s.Hash()
	return hex.EncodeToString(sum), more
}

func into(s *state.Store, raw []byte, key Identity, index uint64) (more int, err error) {
	r, err := NewReader(bytes.NewReader(raw), key)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return r.Into(s, index)
}

// checkEach restores a backup to every index in its range.
func (s *server) checkEach(raw []byte, m Manifest, key *age.X25519Identity) {
	s.t.Helper()
	for index := max(m.From, 1); index <= m.Index; index++ {
		if got, _ := restored(s.t, raw, key, index); got != s.hashes[index] {
			s.t.Errorf("the state restored to index %d of %s is not the one that was there", index, m.Range())
		}
	}
}
