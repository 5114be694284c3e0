package backup

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

// TestUnderRaft has Raft itself write, take snapshots and compact its log, and
// restores to every index that was written.
func TestUnderRaft(t *testing.T) {
	s, key := newServer(t, t.TempDir()), pair(t)
	defer s.close()
	c := raft.DefaultConfig()
	c.LocalID, c.TrailingLogs, c.LogOutput, c.NoSnapshotRestoreOnStart = "n1", 20, io.Discard, true
	address, transport := raft.NewInmemTransport("")
	r, err := raft.NewRaft(c, s.Store, s.logs, s.logs, s.taken, transport)
	try(t, err)
	defer func() { try(t, r.Shutdown().Error()) }()
	try(t, r.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: address}}}).Error())
	select {
	case <-r.LeaderCh():
	case <-time.After(time.Minute):
		t.Fatal("no leader")
	}
	write := func(n int) {
		t.Helper()
		for i := range n {
			raw, err := proto.Marshal(&wire.Command{Level: 1, RequestId: fmt.Sprint(s.last, "-", i), AtMs: time.Now().UnixMilli(),
				Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: fmt.Sprint("s", i%3), Value: fmt.Sprint(i)}}})
			try(t, err)
			f := r.Apply(raw, 10*time.Second)
			try(t, f.Error())
			s.last = f.Index()
			s.record()
		}
	}
	backup := func() ([]byte, Manifest) {
		t.Helper()
		f, err := s.Freeze()
		try(t, err)
		defer f.Close()
		h, err := FindHistory(f, s.taken, r.CommitIndex(), slog.New(slog.DiscardHandler))
		try(t, err)
		defer h.Close()
		return s.write(f, h, key)
	}
	var from [3]uint64 // of the backups
	write(30)
	for i, n := range []int{0, 15, 40} {
		if i > 0 {
			try(t, r.Snapshot().Error())
		}
		at := s.last
		write(n)
		if i == 1 {
			try(t, r.Snapshot().Error())
			write(5)
		}
		raw, m := backup()
		from[i] = m.From
		if m.Index != s.last || i > 0 && m.From > at {
			t.Fatalf("backup %d reaches over %s, the state is at %d, and was at %d", i, m.Range(), s.last, at)
		}
		for index := max(m.From, 1); index <= m.Index; index++ {
			want, written := s.hashes[index]
			if got, _ := restored(t, raw, key, index); written && got != want {
				t.Errorf("the state restored to index %d of %s is not the one that was there", index, m.Range())
			}
		}
		if m, err := Verify(bytes.NewReader(raw), key); err != nil || m.StateHash != s.hashes[s.last] {
			t.Errorf("verified: %+v (%v)", m, err)
		}
	}
	if from[0] != 0 || from[1] == 0 || from[2] <= from[1] {
		t.Errorf("the backups begin at %v: Raft did not compact its log as the test wants it", from)
	}
	if sum, _ := s.Hash(); hex.EncodeToString(sum) != s.hashes[s.last] {
		t.Error("the state went on by itself")
	}
}
