package usage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/state"
)

type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

func try(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// A cluster is the state that ledgers tell.
type cluster struct {
	mu    sync.Mutex
	db    *storage.DB
	state *state.Store
	lose  int // of the next proposals: 1 is not carried out, 2 is and has no answer
}

func newCluster(t tester) *cluster {
	t.Helper()
	db, err := storage.Open("db", storage.Options{FS: storage.Memory()})
	try(t, err)
	s, err := state.Open(db)
	try(t, err)
	return &cluster{db: db, state: s}
}

var errAway = errors.New("the leader is away")

func (c *cluster) propose(_ context.Context, cmd *wire.Command) (*wire.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lose := c.lose
	c.lose = 0
	if lose == 1 {
		return nil, errAway
	}
	raw, err := proto.Marshal(cmd)
	if err != nil {
		return nil, err
	}
	r := c.state.Apply(&raft.Log{Index: c.state.Index() + 1, Term: 1, Data: raw}).(*wire.Result)
	if lose == 2 {
		return nil, errAway
	}
	return r, nil
}

// counts is how many requests of each key the state has.
func (c *cluster) counts() map[string]uint64 { return c.countsOf("acme") }

func (c *cluster) countsOf(tenant string) map[string]uint64 {
	out := map[string]uint64{}
	c.state.Usage(state.UsageQuery{Tenant: tenant, ToMS: 1 << 50, Coarsest: 86400}, func(r *wire.UsageRow) bool { out[r.GetKey()] += r.GetRequests(); return true })
	return out
}

const day = int64(86_400_000)

// openIn opens a ledger on a disk. Nobody tells the state but who calls Tell.
func (c *cluster) openIn(t tester, fs vfs.FS, change func(*Config)) (*Ledger, *storage.DB) {
	t.Helper()
	db, err := storage.Open("db", storage.Options{FS: fs})
	try(t, err)
	cfg := Config{Gateway: "n1", Propose: c.propose, Every: time.Hour, Wait: 20 * time.Second, Journal: 64 << 10, Now: func() time.Time { return time.UnixMilli(day) }}
	if change != nil {
		change(&cfg)
	}
	l, err := Open(db, cfg)
	try(t, err)
	l.writer.Go(l.write)
	return l, db
}

func end(t tester, l *Ledger, db *storage.DB) {
	t.Helper()
	try(t, l.Shutdown(context.Background()))
	try(t, db.Close())
}

func request(key string) *wire.UsageRecord {
	return &wire.UsageRecord{Request: "req-" + key, AtMs: day, Tenant: "acme", Key: key, Deployment: "chat", Outcome: spec.UsageOK, Prompt: 3, Completion: 4, Attempts: 1}
}

// TestNothingSettledIsLost: whenever the process is killed, or the machine loses power where each request waits for the disk,
// whatever became of what the state was told, each settled request is counted once in the end, and none twice. With a
// journal a power cut may take what was settled since the last batch.
func TestNothingSettledIsLost(t *testing.T) {
	for name, journal := range map[string]int64{"disk": 0, "journal": 64 << 10, "tiny journal": 512} {
		t.Run(name, func(t *testing.T) { nothingSettledIsLost(t, journal) })
	}
}

func nothingSettledIsLost(t *testing.T, journal int64) {
	c, runs := newCluster(t), 0
	defer c.db.Close()
	rapid.Check(t, func(t *rapid.T) {
		runs++
		tenant := fmt.Sprint("run", runs)
		request := func(key string) *wire.UsageRecord {
			r := request(key)
			r.Tenant = tenant
			return r
		}
		disk := vfs.NewCrashableMem()
		way := func(cfg *Config) {
			cfg.Journal, cfg.Gather = journal, time.Duration(rapid.IntRange(1, 50).Draw(t, "gather"))*time.Millisecond
		}
		l, db := c.openIn(t, disk, way)
		var settled, noted []string
		for step := range rapid.IntRange(2, 9).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1: // several at a time
				var all sync.WaitGroup
				for i := range rapid.IntRange(1, 5).Draw(t, "requests") {
					key := fmt.Sprintf("s%d-%d", step, i)
					settled = append(settled, key)
					all.Go(func() {
						if err := l.Settle(request(key)); err != nil {
							panic(err)
						}
					})
				}
				all.Wait()
			case 2:
				key := fmt.Sprintf("n%d", step)
				noted = append(noted, key)
				l.Note(request(key))
			case 3:
				l.flush(context.Background())
				if journal > 0 && c.lose == 0 { // what is on disk has no power cut to fear
					l.mu.Lock()
					if onDisk := l.mu.onDisk == l.mu.next-1; !onDisk {
						t.Fatalf("after a flush not all is on disk")
					}
					l.mu.Unlock()
				}
				c.lose = rapid.IntRange(0, 2).Draw(t, "lost")
				if err := l.Tell(context.Background()); err != nil && !errors.Is(err, errAway) {
					t.Fatalf("telling the state: %v", err)
				}
				c.lose = 0
				try(t, l.retain())
			default:
				seed := rapid.Uint64().Draw(t, "crash")
				kept := rapid.SampledFrom([]int{0, 50, 100, 100}).Draw(t, "kept")
				after := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rand.New(rand.NewPCG(seed, 1))})
				if kept < 100 && journal > 0 {
					noted, settled = append(noted, settled...), nil
				}
				end(t, l, db)
				disk = after
				l, db = c.openIn(t, disk, way)
			}
		}
		defer func() { end(t, l, db) }()
		try(t, l.Settle(request("last")))
		for l.Backlog() > 0 {
			try(t, l.Tell(context.Background()))
		}
		got := c.countsOf(tenant)
		for _, key := range append(settled, "last") {
			if got[key] != 1 {
				t.Fatalf("request %s is counted %d times", key, got[key])
			}
			delete(got, key)
		}
		for _, key := range noted {
			if got[key] > 1 {
				t.Fatalf("request %s is counted %d times", key, got[key])
			}
			delete(got, key)
		}
		if len(got) > 0 {
			t.Fatalf("the state has %v beside", got)
		}
	})
}

// TestADiskThatWasSetBack begins another ledger: numbers that it gives again are
// of other requests.
func TestADiskThatWasSetBack(t *testing.T) {
	for _, more := range []int{0, 1, 5} {
		c := newCluster(t)
		disk := vfs.NewCrashableMem()
		l, db := c.openIn(t, disk, nil)
		for i := range 3 {
			try(t, l.Settle(request(fmt.Sprint("a", i))))
		}
		l.flush(t.Context())
		copied := disk.CrashClone(vfs.CrashCloneCfg{})
		for i := range 3 {
			try(t, l.Settle(request(fmt.Sprint("b", i))))
		}
		try(t, l.Tell(context.Background()))
		end(t, l, db)
		l, db = c.openIn(t, copied, nil)
		for i := range more {
			try(t, l.Settle(request(fmt.Sprint("c", i))))
		}
		for range 3 {
			try(t, l.Tell(context.Background()))
		}
		try(t, l.Settle(request("d")))
		try(t, l.Tell(context.Background()))
		got := c.counts()
		if len(got) != 6+more+1 {
			t.Errorf("with %d requests after it, the state has %v", more, got)
		}
		for key, n := range got {
			if n != 1 {
				t.Errorf("request %s is counted %d times", key, n)
			}
		}
		end(t, l, db)
		try(t, c.db.Close())
	}
}

// TestAStateOfAnOlderBackup is told again what it lacks.
func TestAStateOfAnOlderBackup(t *testing.T) {
	c, old := newCluster(t), newCluster(t)
	defer c.db.Close()
	defer old.db.Close()
	now := c
	l, db := c.openIn(t, vfs.NewCrashableMem(), func(cfg *Config) {
		cfg.Propose = func(ctx context.Context, cmd *wire.Command) (*wire.Result, error) { return now.propose(ctx, cmd) }
	})
	defer func() { end(t, l, db) }()
	for i := range 4 {
		try(t, l.Settle(request(fmt.Sprint(i))))
		try(t, l.Tell(context.Background()))
	}
	now = old
	try(t, l.Settle(request("4")))
	for l.Backlog() > 0 {
		try(t, l.Tell(context.Background()))
	}
	if got := old.counts(); len(got) != 5 || got["0"] != 1 || got["4"] != 1 {
		t.Fatalf("it has %v", got)
	}
}

// TestTheLedgerIsBounded: what the state has goes when it is old, and the oldest of
// all when there are too many bytes, which both sides are told.
func TestTheLedgerIsBounded(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	now := time.UnixMilli(day)
	disk := vfs.NewCrashableMem()
	change := func(cfg *Config) {
		cfg.Bytes, cfg.Now = 40*size(request("00")), func() time.Time { return now }
	}
	l, db := c.openIn(t, disk, change)
	for i := range 10 {
		try(t, l.Settle(request(fmt.Sprintf("%02d", i))))
	}
	try(t, l.Tell(context.Background()))
	try(t, l.retain())
	retain := func() {
		t.Helper()
		l.flush(t.Context())
		try(t, l.retain())
	}
	kept := func() (first, last uint64) { return l.mu.first, l.mu.onDisk }
	if first, last := kept(); first != 1 || last != 10 {
		t.Fatalf("records %d to %d are kept", first, last)
	}
	now = now.Add(73 * time.Hour)
	try(t, l.Settle(request("10")))
	retain()
	if first, _ := kept(); first != 11 {
		t.Fatalf("old records from %d on are kept", first)
	}
	for i := range 50 {
		try(t, l.Settle(request(fmt.Sprintf("%02d", 11+i))))
	}
	retain()
	if first, last := kept(); last-first+1 != 40 {
		t.Fatalf("records %d to %d are kept, of which 40 have room", first, last)
	}
	end(t, l, db)
	l, db = c.openIn(t, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}), change)
	defer func() { end(t, l, db) }()
	for l.Backlog() > 0 {
		try(t, l.Tell(context.Background()))
	}
	marks := c.state.UsageLedgers()
	if len(marks) != 1 || marks[0].GetThrough() != 61 || marks[0].GetDropped() == 0 || len(c.counts())+int(marks[0].GetDropped()) != 61 {
		t.Fatalf("the state has %d requests and %v", len(c.counts()), marks)
	}
}

// TestBatchesAreBounded: many sums take several batches, and come to all of them.
func TestBatchesAreBounded(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	batches := 0
	l, db := c.openIn(t, vfs.NewCrashableMem(), func(cfg *Config) {
		cfg.Propose = func(ctx context.Context, cmd *wire.Command) (*wire.Result, error) {
			if batches++; len(cmd.GetPutUsage().GetRows()) > rowsAtOnce {
				t.Errorf("a batch has %d sums", len(cmd.GetPutUsage().GetRows()))
			}
			return c.propose(ctx, cmd)
		}
	})
	defer func() { end(t, l, db) }()
	const n = 2*rowsAtOnce + 10
	for i := range n {
		l.Note(request(fmt.Sprint(i)))
	}
	try(t, l.Settle(request("0")))
	try(t, l.Tell(context.Background()))
	if got := c.counts(); batches != 3 || len(got) != n || got["0"] != 2 {
		t.Fatalf("%d batches came to %d keys", batches, len(got))
	}
}

// TestARun: started, a ledger tells the state by itself, and the rest at its end.
func TestARun(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	c := newCluster(t)
	defer c.db.Close()
	db, err := storage.Open("db", storage.Options{FS: storage.Memory()})
	try(t, err)
	defer db.Close()
	l, err := Open(db, Config{Gateway: "n1", Propose: c.propose, Every: 5 * time.Millisecond, Now: func() time.Time { return time.UnixMilli(day) }})
	try(t, err)
	l.Start()
	try(t, l.Settle(request("a")))
	for until := time.Now().Add(30 * time.Second); l.Backlog() > 0 && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	if n := len(c.counts()); n != 1 {
		t.Errorf("the state has %d requests", n)
	}
	l.Note(request("b"))
	try(t, l.Shutdown(context.Background()))
	if n := len(c.counts()); n != 2 {
		t.Errorf("at the end the state has %d requests", n)
	}
	if err := l.Settle(request("c")); !errors.Is(err, ErrLost) {
		t.Errorf("after its end it settles with %v", err)
	}
}

func onDisk(l *Ledger) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.onDisk
}

// TestVersionsAreToldApart once the whole cluster understands them: a sum with one is
// more than an older build would count.
func TestVersionsAreToldApart(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	level := uint32(4)
	l, db := c.openIn(t, vfs.NewCrashableMem(), func(cfg *Config) {
		cfg.Level = func() uint32 { return level }
		cfg.Propose = func(ctx context.Context, cmd *wire.Command) (*wire.Result, error) {
			if needs := wire.LevelOf(cmd); needs > level {
				t.Errorf("a cluster of level %d is told what needs %d", level, needs)
			}
			return c.propose(ctx, cmd)
		}
	})
	defer func() { end(t, l, db) }()
	for range 2 {
		for version := range uint64(3) {
			u := request("k")
			u.Version = version + 1
			try(t, l.Settle(u))
		}
		try(t, l.Tell(context.Background()))
		level = 5
	}
	got := map[uint64]uint64{}
	c.state.Usage(state.UsageQuery{ToMS: 2 * day, Coarsest: 86400}, func(r *wire.UsageRow) bool {
		got[r.GetVersion()] += r.GetRequests()
		return true
	})
	if want := map[uint64]uint64{0: 3, 1: 1, 2: 1, 3: 1}; !maps.Equal(got, want) {
		t.Errorf("by version there are %v, want %v", got, want)
	}
}
