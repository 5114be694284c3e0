package usage

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/lotabots/lotabots/storage/diskfault"
)

// TestADiskThatStandsStill holds nobody up: requests are answered, and written
// down when it moves on. The first alone waits for it.
func TestADiskThatStandsStill(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	disk := diskfault.New(vfs.NewMem())
	l, db := c.openIn(t, disk, func(cfg *Config) { cfg.Journal, cfg.Wait = 0, 20*time.Millisecond })
	disk.Stall()
	if err := l.Settle(request("a")); !errors.Is(err, ErrLate) {
		t.Fatalf("on a disk that stands still it settles with %v", err)
	}
	began := time.Now()
	for i := range 100 {
		if err := l.Settle(request(fmt.Sprint(i))); !errors.Is(err, ErrLate) {
			t.Fatalf("it settles with %v", err)
		}
	}
	if took := time.Since(began); took > 1900*time.Millisecond {
		t.Errorf("100 requests waited for %v for a disk that is known to stand still", took)
	}
	if err := l.Tell(context.Background()); err != nil || len(c.counts()) != 0 {
		t.Fatalf("the state was told of what is on no disk: %v, %v", c.counts(), err)
	}
	disk.Resume()
	for until := time.Now().Add(30 * time.Second); onDisk(l) < 101 && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	try(t, l.Tell(context.Background()))
	if got := c.counts(); len(got) != 101 {
		t.Fatalf("the state has %d requests", len(got))
	}
	end(t, l, db)
}

// TestWhoJoinsLate has as long as who came first: the disk moves on when the first has given up.
func TestWhoJoinsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.db.Close()
		disk := diskfault.New(vfs.NewMem())
		l, db := c.openIn(t, disk, func(cfg *Config) { cfg.Journal, cfg.Wait = 0, time.Second })
		defer end(t, l, db)
		disk.Stall()
		l.Note(request("what the disk stands at"))
		synctest.Wait()
		settle := func(key string) chan error {
			settled := make(chan error, 1)
			go func() { settled <- l.Settle(request(key)) }()
			return settled
		}
		first := settle("first")
		time.Sleep(900 * time.Millisecond)
		late := settle("late")
		if err := <-first; !errors.Is(err, ErrLate) {
			t.Fatalf("the first settles with %v", err)
		}
		if err := l.Settle(request("third")); !errors.Is(err, ErrLate) {
			t.Fatalf("on a disk that is known to stand still it settles with %v", err)
		}
		disk.Resume()
		if err := <-late; err != nil {
			t.Errorf("who has waited for 100 ms settles with %v", err)
		}
		if err := l.Settle(request("after")); err != nil {
			t.Errorf("on a disk that moves it settles with %v", err)
		}
	})
}

// TestAGroupThatIsWritten is not late, whenever its time runs out: the disk is not said to stand still for it.
func TestAGroupThatIsWritten(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	l, db := c.openIn(t, vfs.NewMem(), nil)
	defer end(t, l, db)
	g := newGroup()
	l.mu.Lock()
	l.endLocked(g, nil)
	l.mu.Unlock()
	l.overdue(g)
	if err := g.wait(time.Now(), time.Minute); err != nil || l.mu.stands {
		t.Errorf("%v, %v", err, l.mu.stands)
	}
}

// TestADiskThatFails loses what comes, and says so at once.
func TestADiskThatFails(t *testing.T) {
	c := newCluster(t)
	defer c.db.Close()
	disk := diskfault.New(vfs.NewMem())
	l, db := c.openIn(t, disk, func(cfg *Config) { cfg.Journal = 0 })
	disk.Fail()
	for range 2 {
		if err := l.Settle(request("a")); !errors.Is(err, ErrLost) {
			t.Fatalf("on a disk that has failed it settles with %v", err)
		}
	}
	try(t, l.Shutdown(context.Background()))
	_ = db.Close()
}
