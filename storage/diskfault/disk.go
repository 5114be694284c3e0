package diskfault

import (
	"errors"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// ErrSync is what a failing sync returns.
var ErrSync = errors.New("diskfault: the sync failed")

// A Disk is a file system whose syncs, and writes in the middle of files, can be made to stand still or to fail.
type Disk struct {
	vfs.FS
	mu struct {
		sync.Mutex
		still   chan struct{} // closed when the disk moves on; nil while it does
		waiting int           // syncs and writes that stand still
		fails   bool
		writes  bool   // stand still too
		broken  error  // of writes
		hidden  string // a file that cannot be made
		refused error  // of making it
	}
}

// New returns a sound disk before fs.
func New(fs vfs.FS) *Disk {
	d := &Disk{}
	d.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(d.before))
	return d
}

func (d *Disk) before(op errorfs.Op) error {
	sync := false
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		sync = true
	case errorfs.OpFileWriteAt:
	case errorfs.OpCreate:
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.mu.hidden != "" && strings.HasSuffix(op.Path, d.mu.hidden) {
			return d.mu.refused
		}
		return nil
	default:
		return nil
	}
	d.mu.Lock()
	still := d.mu.still
	if !sync && !d.mu.writes {
		still = nil
	}
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
	switch {
	case !sync:
		return d.mu.broken
	case d.mu.fails:
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

// StallWrites has writes in the middle of a file wait too, while the disk stands still.
func (d *Disk) StallWrites() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.writes = true
}

// FailWrites has writes in the middle of a file fail with err; nil: no more.
func (d *Disk) FailWrites(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.broken = err
}

// FailCreate has the making of files of that name fail with err.
func (d *Disk) FailCreate(name string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.hidden, d.mu.refused = name, err
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

// Waiting is how many syncs and writes stand still now.
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
