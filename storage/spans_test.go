package storage

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func usageRecord(n uint64) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(UsageRecords), n)
}

// TestSpans: each span ends after it begins, where all keys in it say; records are with none but those of near numbers.
func TestSpans(t *testing.T) {
	number := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 3*usageSpan), rapid.SampledFrom([]uint64{0, usageSpan - 1, usageSpan, 1<<64 - 1, 1<<64 - usageSpan}))
	key := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(number, usageRecord), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) []byte { return Usage.Key(b) }),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 12), func(b []byte) []byte { return append(bytes.Clone(UsageRecords), b...) }))
	isRecord := func(k []byte) bool { return len(k) == len(UsageRecords)+8 && bytes.HasPrefix(k, UsageRecords) }
	rapid.Check(t, func(t *rapid.T) {
		a, b := key.Draw(t, "a"), key.Draw(t, "b")
		if bytes.Compare(a, b) > 0 {
			a, b = b, a
		}
		_, end, err := spans(a)
		if err != nil || end != nil && bytes.Compare(a, end) >= 0 {
			t.Fatalf("what begins at %x ends at %x: %v", a, end, err)
		}
		together := end == nil || bytes.Compare(b, end) < 0
		if _, same, _ := spans(b); together && !bytes.Equal(end, same) {
			t.Fatalf("%x ends at %x, but %x at %x", a, end, b, same)
		}
		for _, border := range [][]byte{UsageRecords, Usage.End()} {
			if together && bytes.Compare(a, border) < 0 && bytes.Compare(b, border) >= 0 {
				t.Fatalf("%x is with %x", a, b)
			}
		}
		if isRecord(a) && isRecord(b) && together != (binary.BigEndian.Uint64(a[2:])/usageSpan == binary.BigEndian.Uint64(b[2:])/usageSpan) {
			t.Fatalf("%x is with %x: %v", a, b, together)
		}
	})
}

// TestRecordsStayWhereTheyAre: of records that come and go in order, beside keys that are written again and again, few are
// written anew by compactions.
func TestRecordsStayWhereTheyAre(t *testing.T) {
	db, err := Open("db", Options{FS: Memory()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const turns, kept, each, apart = 60, 30, 500, 64
	random := rand.New(rand.NewPCG(1, 1))
	value := make([]byte, 200)
	for turn := range uint64(turns) {
		b := db.Pebble().NewBatch()
		for i := range uint64(each) {
			for at := 0; at < len(value); at += 8 {
				binary.LittleEndian.PutUint64(value[at:], random.Uint64())
			}
			_ = b.Set(usageRecord((turn*each+i)*apart), value, nil)
		}
		_ = b.Set(Usage.Key([]byte{1}), value[:8], nil)
		_ = b.Set(RaftLog.Key([]byte{1}), value, nil)
		if turn > kept {
			_ = b.DeleteRange(usageRecord((turn-kept-1)*each*apart), usageRecord((turn-kept)*each*apart), nil)
		}
		if err := db.Commit(b, nil); err != nil {
			t.Fatal(err)
		}
		if err := db.Pebble().Flush(); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(10 * time.Second); db.Pebble().Metrics().Compact.NumInProgress > 0 && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
	}
	m := db.Pebble().Metrics().Total()
	if m.TableBytesFlushed < turns*each*200 || m.TableBytesCompacted > m.TableBytesFlushed {
		t.Errorf("%d bytes were flushed, and %d written anew", m.TableBytesFlushed, m.TableBytesCompacted)
	}
}
