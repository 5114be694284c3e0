package raftlog_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"
	raftbench "github.com/hashicorp/raft/bench"

	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/raftlog"
)

// onDisk is a store on a real disk, where a sync costs something.
func onDisk(b *testing.B) *raftlog.Store {
	b.Helper()
	db, err := storage.Open(b.TempDir(), storage.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return raftlog.New(db)
}

// Raft's own benchmarks, which other stores are measured by too.

func BenchmarkFirstIndex(b *testing.B)  { raftbench.FirstIndex(b, onDisk(b)) }
func BenchmarkLastIndex(b *testing.B)   { raftbench.LastIndex(b, onDisk(b)) }
func BenchmarkGetLog(b *testing.B)      { raftbench.GetLog(b, onDisk(b)) }
func BenchmarkStoreLog(b *testing.B)    { raftbench.StoreLog(b, onDisk(b)) }
func BenchmarkStoreLogs(b *testing.B)   { raftbench.StoreLogs(b, onDisk(b)) }
func BenchmarkDeleteRange(b *testing.B) { raftbench.DeleteRange(b, onDisk(b)) }
func BenchmarkSet(b *testing.B)         { raftbench.Set(b, onDisk(b)) }
func BenchmarkGet(b *testing.B)         { raftbench.Get(b, onDisk(b)) }
func BenchmarkSetUint64(b *testing.B)   { raftbench.SetUint64(b, onDisk(b)) }
func BenchmarkGetUint64(b *testing.B)   { raftbench.GetUint64(b, onDisk(b)) }

// BenchmarkStoreBatch stores batches of 256-byte entries of the sizes that a
// leader makes under load.
func BenchmarkStoreBatch(b *testing.B) {
	for _, size := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := onDisk(b)
			data := make([]byte, 256)
			batch := make([]*raft.Log, size)
			index := uint64(0)
			b.SetBytes(int64(size * len(data)))
			b.ResetTimer()
			for range b.N {
				for i := range batch {
					index++
					batch[i] = &raft.Log{Index: index, Term: 1, Data: data}
				}
				if err := s.StoreLogs(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
