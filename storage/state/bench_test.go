package state

import (
	"fmt"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
)

// onDisk is a state on a real disk.
func onDisk(b *testing.B) *Store {
	b.Helper()
	db, err := storage.Open(b.TempDir(), storage.Options{})
	try(b, err)
	b.Cleanup(func() { db.Close() })
	s, err := Open(db)
	try(b, err)
	return s
}

// BenchmarkApply creates keys: without and with their entries in the audit log.
func BenchmarkApply(b *testing.B) {
	b.Run("level 1", func(b *testing.B) { benchApply(b, 1) })
	b.Run("audited", func(b *testing.B) { benchApply(b, 2) })
}

func benchApply(b *testing.B, level uint32) {
	s := onDisk(b)
	logs := make([]*raft.Log, b.N)
	for i := range logs {
		c := putKey(fmt.Sprintf("k%d", i), "acme", fmt.Sprintf("key %d", i))
		c.RequestId, c.Level, c.Principal = fmt.Sprintf("r%d", i), level, "user/boss"
		logs[i] = &raft.Log{Index: uint64(i + 1), Term: 1, Data: encode(b, c)}
	}
	b.ResetTimer()
	for _, l := range logs {
		s.Apply(l)
	}
}

func withKeys(b *testing.B, n int) *Store {
	s := onDisk(b)
	for i := range n {
		s.Apply(&raft.Log{Index: uint64(i + 1), Term: 1, Data: encode(b, putKey(fmt.Sprintf("k%d", i), "acme", fmt.Sprintf("key %d", i)))})
	}
	b.ResetTimer()
	return s
}

func BenchmarkKey(b *testing.B) {
	s := withKeys(b, 10_000)
	for i := range b.N {
		if _, ok := s.Key(fmt.Sprintf("k%d", i%10_000)); !ok {
			b.Fatal("a key is missing")
		}
	}
}

func BenchmarkKeysPage(b *testing.B) {
	s := withKeys(b, 10_000)
	for range b.N {
		if page, _ := s.Keys("acme", "k5", 100); len(page) != 100 {
			b.Fatal("a page is short")
		}
	}
}

func BenchmarkWriteSnapshot(b *testing.B) {
	s := withKeys(b, 10_000)
	for range b.N {
		if _, err := s.WriteSnapshot(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAuditPage reads the newest entries of one actor among many.
func BenchmarkAuditPage(b *testing.B) {
	s := onDisk(b)
	for i := range 20_000 {
		c := noteAudit(&wire.NoteAudit{Action: "try", Target: fmt.Sprint("key:", i%100)})
		c.Principal = fmt.Sprint("user/", i%10)
		s.Apply(&raft.Log{Index: uint64(i + 1), Term: 1, Data: encode(b, c)})
	}
	b.ResetTimer()
	for range b.N {
		if page, _ := s.Audit(AuditFilter{Actor: "user/7", Newest: true}, "", 100); len(page) != 100 {
			b.Fatal("a page is short")
		}
	}
}

// BenchmarkUsage applies batches of 100 sums, half of which are new minutes of keys
// and half of those that are there.
func BenchmarkUsage(b *testing.B) {
	r := newReplica(b)
	through := uint64(0)
	for i := range b.N {
		var rows []*wire.UsageRow
		for j := range 100 {
			rows = append(rows, sumOf(int64(i/2)*60_000, "acme", fmt.Sprint("k", j), 1, 100))
		}
		c := putUsage("l1", through, through+100, rows...)
		c.AtMs = int64(i/2+1) * 60_000
		through += 100
		r.ok(b, c)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100, "µs/sum")
}
