package diskfault

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// ErrSync is what a failing sync returns.
var ErrSync = errors.New("diskfault: the sync failed")

// A Disk is a file system whose syncs can be made to stand still or to fail.
type Disk struct {
	vfs.FS
	mu struct {
		sync.Mutex
		still   chan struct{} // closed when the disk moves on; nil while it does
		waiting int           // syncs that stand still
		fails   bool
	}
}

// New returns a sound disk before fs.
func New(fs vfs.FS) *Disk {
	d := &Disk{}
	d.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(d.before))
	return d
}

func (d *Disk) before(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	d.mu.Lock()
	still := d.mu.still
	if still != nil {
		d.mu.waiting++
	}
	d.mu.Unlock()
	if still != nil {
		<-still
		d.mu.Lock()
		d.mu.waiting--
		d.mu.Unlock()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.fails {
		return ErrSync
	}
	return nil
}

// Stall has every sync wait until Resume.
func (d *Disk) Stall() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.still == nil {
		d.mu.still = make(chan struct{})
	}
}

// Resume lets the syncs go on.
func (d *Disk) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.still != nil {
		close(d.mu.still)
		d.mu.still = nil
	}
}

// Waiting is how many syncs stand still now.
func (d *Disk) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.waiting
}

// Fail has every sync from now on fail, also those that stand still.
func (d *Disk) Fail() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.fails = true
}
