package state

import (
	"fmt"
	"io"
	"testing"

	"github.com/hashicorp/raft"

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

func BenchmarkApply(b *testing.B) {
	s := onDisk(b)
	logs := make([]*raft.Log, b.N)
	for i := range logs {
		c := putKey(fmt.Sprintf("k%d", i), "acme", fmt.Sprintf("key %d", i))
		c.RequestId = fmt.Sprintf("r%d", i)
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
