package usage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/diskfault"
)

// killed is the disk as a process that is killed leaves it.
func killed(disk *vfs.MemFS) *vfs.MemFS {
	return disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// slowly is a ledger whose records stay in the journal.
func slowly(cfg *Config) { cfg.Gather = time.Hour }

func settleAll(t tester, l *Ledger, keys ...string) {
	t.Helper()
	for _, key := range keys {
		try(t, l.Settle(request(key)))
	}
}

func keys(prefix string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint(prefix, i))
	}
	return out
}

// once fails unless the state counts each of the keys once, and no other.
func (c *cluster) once(t tester, l *Ledger, keys ...string) {
	t.Helper()
	for l.Backlog() > 0 {
		try(t, l.Tell(context.Background()))
	}
	got := c.counts()
	for _, key := range keys {
		if got[key] != 1 {
			t.Fatalf("request %s is counted %d times; there are %v", key, got[key], got)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Fatalf("the state has %v beside", got)
	}
}

// TestAKilledProcess loses nothing that it settled, though no batch was written; nor does one that is killed again while it
// takes that over, or soon after.
func TestAKilledProcess(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	disk := vfs.NewCrashableMem()
	l, db := c.openIn(t, disk, slowly)
	settleAll(t, l, keys("a", 5)...)
	if n := onDisk(l); n != 0 {
		t.Fatalf("%d records are on disk already", n)
	}
	after := killed(disk)
	end(t, l, db)
	l, db = c.openIn(t, after, slowly)
	if n := onDisk(l); n != 5 {
		t.Fatalf("%d records were taken over", n)
	}
	again := killed(after)
	settleAll(t, l, keys("never told ", 3)...)
	end(t, l, db)
	l, db = c.openIn(t, again, slowly)
	settleAll(t, l, keys("b", 2)...)
	last := killed(again)
	end(t, l, db)
	l, db = c.openIn(t, last, func(cfg *Config) { cfg.Journal = 0 })
	defer func() { end(t, l, db) }()
	settleAll(t, l, "c")
	c.once(t, l, append(keys("a", 5), "b0", "b1", "c")...)
	if _, err := last.Stat("db/" + journalName); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of the journal, which is not wanted any more, there is %v", err)
	}
}

// TestWhatAnotherLifeLeft in the journal is no record of this one, though its numbers would follow.
func TestWhatAnotherLifeLeft(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	disk := vfs.NewCrashableMem()
	l, db := c.openIn(t, disk, slowly)
	settleAll(t, l, keys("a", 9)...)
	raw, err := journalBytes(db)
	try(t, err)
	lost := disk.CrashClone(vfs.CrashCloneCfg{}) // by a power cut
	end(t, l, db)
	l, db = c.openIn(t, lost, slowly)
	settleAll(t, l, keys("b", 2)...)
	end(t, l, db)
	f, err := lost.OpenReadWrite("db/"+journalName, vfs.WriteCategoryUnspecified)
	try(t, err)
	_, err = f.WriteAt(raw, 0) // as if the disk had kept more than it did
	try(t, err)
	try(t, f.Close())
	l, db = c.openIn(t, lost, slowly)
	defer func() { end(t, l, db) }()
	c.once(t, l, "b0", "b1")
}

// appendFrame appends a record's frame.
func appendFrame(dst []byte, life uint64, round uint32, number, before uint64, encoded []byte) []byte {
	b := append(make([]byte, frameHeader+8), encoded...)
	seal(b, life, round, number, before)
	return append(dst, b...)
}

// TestReadJournal holds reading to a model: of what was written in rounds, over what was there before, then cut off, torn or
// changed at one place, just what comes whole after the last record and before that place is found.
func TestReadJournal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 1 << 10
		raw := make([]byte, 2*size)
		life, number := uint64(7), uint64(1)
		type written struct {
			number  uint64
			at, end int
		}
		var halves [2][]written
		for round := range rapid.IntRange(1, 5).Draw(t, "rounds") {
			if rapid.IntRange(0, 4).Draw(t, "another life") == 0 {
				life++
				halves = [2][]written{}
				number -= rapid.Uint64Range(0, min(3, number-1)).Draw(t, "numbers again")
			}
			at := round % 2 * size
			var buf []byte
			halves[round%2] = nil
			for range rapid.IntRange(1, 9).Draw(t, "records") {
				encoded, err := proto.Marshal(request(fmt.Sprint("k", number)))
				try(t, err)
				begins := len(buf)
				if buf = appendFrame(buf, life, uint32(round), number, 0, encoded); len(buf) > size {
					buf = buf[:begins]
					break
				}
				halves[round%2] = append(halves[round%2], written{number, at + begins, at + len(buf)})
				number++
			}
			copy(raw[at:], buf)
		}
		last := number - 1 - rapid.Uint64Range(0, min(number-1, 15)).Draw(t, "not on disk")
		broken := -1
		if rapid.Bool().Draw(t, "torn") {
			broken = rapid.IntRange(0, 2*size-1).Draw(t, "where")
			raw[broken] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		var want []uint64
		sound := map[uint64]bool{}
		for _, half := range halves {
			for _, w := range half {
				if broken >= w.at && broken < w.end {
					break
				}
				sound[w.number] = true
			}
		}
		for n := last + 1; sound[n]; n++ {
			want = append(want, n)
		}
		found, _ := readJournal(raw, life, last)
		var got []uint64
		for _, f := range found {
			got = append(got, f.number)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v after %d", got, want, last)
		}
	})
}

// FuzzReadJournal: whatever lies in the journal, what is found follows in number, and is as it was written.
func FuzzReadJournal(f *testing.F) {
	encoded, err := proto.Marshal(request("k"))
	try(f, err)
	half := appendFrame(appendFrame(nil, 7, 1, 1, 0, encoded), 7, 1, 2, 0, encoded)
	f.Add(append(half, half...), uint64(7), uint64(0))
	f.Add(append(half, appendFrame(nil, 7, 2, 3, 0, encoded)...), uint64(7), uint64(1))
	f.Add([]byte{}, uint64(0), uint64(0))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, uint64(0), uint64(1)<<63)
	f.Fuzz(func(t *testing.T, raw []byte, life, last uint64) {
		found, _ := readJournal(raw, life, last)
		for i, frame := range found {
			if frame.life != life || frame.number != last+1+uint64(i) {
				t.Fatalf("record %d of life %d after %d of life %d", frame.number, frame.life, last+uint64(i), life)
			}
			if _, _, err := decode(recordKey(frame.number), frame.value); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestAFullJournal has those wait for the disk who have no room in it, and keeps all.
func TestAFullJournal(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	disk := vfs.NewCrashableMem()
	l, db := c.openIn(t, disk, func(cfg *Config) { cfg.Journal, cfg.Gather = 600, time.Hour })
	all := keys("k", 40)
	var asked sync.WaitGroup
	for _, key := range all {
		asked.Go(func() {
			if err := l.Settle(request(key)); err != nil {
				t.Errorf("%s settles with %v", key, err)
			}
		})
	}
	asked.Wait()
	after := killed(disk)
	end(t, l, db)
	l, db = c.openIn(t, after, slowly)
	defer func() { end(t, l, db) }()
	c.once(t, l, all...)
}

// TestADiskThatStandsStillUnderTheJournal catches one request at most in a write; the others wait as long as
// they do without a journal, and all are written when the disk moves on.
func TestADiskThatStandsStillUnderTheJournal(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	disk := diskfault.New(vfs.NewMem())
	l, db := c.openIn(t, disk, func(cfg *Config) { cfg.Wait, cfg.Gather = 20*time.Millisecond, time.Millisecond })
	settleAll(t, l, "before")
	disk.Stall()
	disk.StallWrites()
	caught := make(chan error, 1)
	go func() { caught <- l.Settle(request("caught")) }()
	await(t, func() bool { return disk.Waiting() > 0 })
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if err := l.Settle(request(fmt.Sprint("k", i))); !errors.Is(err, ErrLate) {
				t.Errorf("on a disk that stands still it settles with %v", err)
			}
		})
	}
	all.Wait()
	select {
	case err := <-caught:
		t.Fatalf("who writes to the journal is back with %v", err)
	default:
	}
	disk.Resume()
	if err := <-caught; err != nil {
		t.Errorf("who was caught settles with %v", err)
	}
	await(t, func() bool { return onDisk(l) == 202 })
	settleAll(t, l, "after")
	c.once(t, l, append(keys("k", 200), "before", "caught", "after")...)
	end(t, l, db)
}

// TestSyncsThatStandStill let nobody try the journal.
func TestSyncsThatStandStill(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	disk := diskfault.New(vfs.NewMem())
	l, db := c.openIn(t, disk, func(cfg *Config) { cfg.Wait, cfg.Gather = 20*time.Millisecond, time.Millisecond })
	disk.Stall()
	settleAll(t, l, "a") // the journal's file takes it
	await(t, func() bool { return disk.Waiting() > 0 })
	time.Sleep(slowDisk + time.Millisecond)
	disk.StallWrites()
	if err := l.Settle(request("b")); !errors.Is(err, ErrLate) {
		t.Errorf("it settles with %v", err)
	}
	disk.Resume()
	await(t, func() bool { return onDisk(l) == 2 })
	settleAll(t, l, "c")
	c.once(t, l, "a", "b", "c")
	end(t, l, db)
}

// TestAJournalThatFails, or cannot be laid out, has requests wait for the disk; none is lost, and there is one again later.
func TestAJournalThatFails(t *testing.T) {
	for name, fails := range map[string]func(*diskfault.Disk){
		"in use": func(d *diskfault.Disk) { d.FailWrites(syscall.EIO) }, "no room": func(d *diskfault.Disk) { d.FailWrites(syscall.ENOSPC) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			defer c.db.Close()
			mem := vfs.NewCrashableMem()
			disk := diskfault.New(mem)
			l, db := c.openIn(t, disk, slowly)
			settleAll(t, l, "before")
			fails(disk)
			settleAll(t, l, keys("k", 3)...)
			if l.ready() != 0 || onDisk(l) != 4 {
				t.Errorf("the journal is in use, or what it did not take is not on disk (%d)", onDisk(l))
			}
			disk.FailWrites(nil)
			l.mu.Lock()
			l.mu.tried = time.Now().Add(-2 * again) // the writer sleeps
			l.mu.Unlock()
			settleAll(t, l, "wakes")
			await(t, func() bool { return l.ready() == 1 })
			settleAll(t, l, "after")
			if n := onDisk(l); n != 5 {
				t.Errorf("%d records are on disk; the last should be in the journal alone", n)
			}
			after := killed(mem)
			end(t, l, db)
			l, db = c.openIn(t, after, slowly)
			c.once(t, l, append(keys("k", 3), "before", "wakes", "after")...)
			end(t, l, db)
		})
	}
}

// TestATornHalf gets nothing more written to it, though the journal was laid out again before it went to the disk: who waits
// for its failed write waits for that.
func TestATornHalf(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	l, db := c.openIn(t, vfs.NewMem(), slowly)
	defer end(t, l, db)
	l.mu.Lock()
	l.mu.fill.torn = true
	l.mu.fill.flying = newGroup()
	g := l.mu.fill.flying
	l.mu.Unlock()
	settleAll(t, l, "k")
	if err := g.wait(time.Now(), time.Minute); err != nil || onDisk(l) != 1 {
		t.Errorf("%v; %d records are on disk", err, onDisk(l))
	}
	settleAll(t, l, "in the next half")
	if n := onDisk(l); n != 1 {
		t.Errorf("%d records are on disk", n)
	}
}

// TestNoRoomForAJournal is no reason not to open.
func TestNoRoomForAJournal(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	disk := diskfault.New(vfs.NewMem())
	disk.FailCreate(journalName, syscall.ENOSPC)
	l, db := c.openIn(t, disk, slowly)
	defer end(t, l, db)
	settleAll(t, l, keys("k", 3)...)
	if n := onDisk(l); n != 3 || l.ready() != 0 {
		t.Errorf("%d records are on disk", n)
	}
}

func await(t tester, is func() bool) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("it does not come about")
		}
	}
}

// TestSettlingAllocatesNothing of its own: encoding and frame go into what is there already.
func TestSettlingAllocatesNothing(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	l, db := c.openIn(t, storage.Memory(), func(cfg *Config) { cfg.Journal, cfg.Gather = 1<<20, time.Hour })
	defer end(t, l, db)
	r := request("k")
	l.mu.Lock()
	l.mu.fill.buf = make([]byte, 0, 1<<20)
	l.mu.Unlock()
	if n := testing.AllocsPerRun(200, func() { _ = l.Settle(r) }); n > 0.5 {
		t.Errorf("%v allocations each", n)
	}
}

// TestWhoIsLateForAWrite that has their record waits for it, and for no other: nobody else may come.
func TestWhoIsLateForAWrite(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	disk := diskfault.New(vfs.NewMem())
	l, db := c.openIn(t, disk, func(cfg *Config) { slowly(cfg); cfg.Wait = time.Hour })
	put := func(key string) (secure func() chan error) {
		h, fits := l.put(request(key))
		at := h.fits
		l.mu.Unlock()
		return func() chan error {
			settled := make(chan error, 1)
			go func() { settled <- l.secure(h, at, fits, time.Now()) }()
			return settled
		}
	}
	first, second, third := put("a"), put("b"), put("c")
	disk.Stall()
	disk.StallWrites()
	a := first()
	await(t, func() bool { return disk.Waiting() > 0 })
	b := second()
	await(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.mu.fill.flying != nil })
	disk.Resume()
	for _, settled := range []chan error{a, b, third()} {
		select {
		case err := <-settled:
			try(t, err)
		case <-time.After(30 * time.Second):
			t.Fatal("it waits for another write")
		}
	}
	if l.mu.writes != 1 {
		t.Errorf("%d writes for what came before the first", l.mu.writes)
	}
	c.once(t, l, "a", "b", "c")
	end(t, l, db)
}
