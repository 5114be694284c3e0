package usage

import (
	"errors"
	"time"

	"github.com/lotabots/lotabots/storage"
)

// slowDisk is for how long a batch may be on its way before nobody writes to the journal any more: the disk
// may stand still, and a write with it.
const slowDisk = 50 * time.Millisecond

// again is how long after a failure the journal is tried anew.
const again = 10 * time.Second

// A half is the records between two batches, as frames. Its journal has the first of them, as far as written.
type half struct {
	at      int64 // where it begins in the journal
	round   uint32
	buf     []byte
	first   uint64 // number of its first record
	n       int
	fits    int   // bytes of those frames for which the journal has room
	written int   // bytes of those that are in the journal
	aloft   int   // what written is once the write under way is done
	torn    bool  // a write of it has failed: the rest waits for the disk
	over    bool  // it is on disk, or lost
	fate    error // then

	// Who waits: for the journal's write under way, for the next, and for the disk.
	flying, joined, rest *group
}

// nextLocked begins another half, after h.
func (l *Ledger) nextLocked(h *half) {
	l.mu.old = h
	l.mu.fill = &half{at: int64(l.size) - h.at, round: h.round + 1, first: l.mu.next, buf: l.mu.spare}
	l.mu.spare, l.mu.hurried = nil, false
	select {
	case <-l.hurry: // it was about h
	default:
	}
}

// spareBytes is the largest buffer that is kept for another half.
const spareBytes = 1 << 20

// doneLocked ends a half that has gone to the disk.
func (l *Ledger) doneLocked(h *half, fate error) {
	h.over, h.fate = true, fate
	l.mu.old = nil
	for _, g := range []*group{h.flying, h.joined, h.rest} {
		l.endLocked(g, fate)
	}
	if l.mu.writing != h && cap(h.buf) <= spareBytes {
		l.mu.spare = h.buf[:0]
	}
	if fate == nil {
		l.mu.stands = false
	}
}

// A chunk is what is written to the journal at once.
type chunk struct {
	file storage.File
	of   *half
	p    []byte // up to of.aloft
}

// beginLocked takes what there is for the journal, as the one who writes to it; ok is false where there
// is nothing, or somebody does already.
func (l *Ledger) beginLocked() (c chunk, ok bool) {
	if l.mu.writing != nil {
		return c, false
	}
	if c, ok = l.chunkLocked(); ok {
		l.mu.since = time.Now()
	}
	return c, ok
}

// chunkLocked takes what comes next. Nothing goes to the journal before what is older is there, or on disk.
func (l *Ledger) chunkLocked() (c chunk, ok bool) {
	l.mu.writing = nil
	if l.mu.journal == nil {
		return c, false
	}
	for _, h := range [...]*half{l.mu.old, l.mu.fill} {
		switch {
		case h == nil || h.over:
		case h.torn:
			return c, false
		case h.written < h.fits:
			h.flying, h.joined, h.aloft = h.joined, nil, h.fits
			l.mu.writing = h
			l.mu.writes++
			return chunk{l.mu.journal, h, h.buf[h.written:h.aloft]}, true
		case h.fits < len(h.buf):
			return c, false
		}
	}
	return c, false
}

// combine writes c to the journal, and what others have brought meanwhile, until there is nothing more. It
// tells whether what was there of h at the beginning is in the journal now.
func (l *Ledger) combine(c chunk, h *half) (safe bool) {
	for ok := true; ok; {
		_, err := c.file.WriteAt(c.p, c.of.at+int64(c.of.written))
		l.mu.Lock()
		if err != nil {
			c.of.torn = true
			l.mu.writing, l.mu.journal = nil, nil // everybody waits for the disk until there is one again
			l.hurryLocked()
			l.mu.Unlock()
			l.cfg.Log.Error("the usage ledger's journal cannot be written: requests wait for the disk", "error", errors.Join(err, c.file.Close()))
			return safe
		}
		safe = safe || c.of == h
		c.of.written = c.of.aloft
		l.endLocked(c.of.flying, nil)
		c.of.flying = nil
		c, ok = l.chunkLocked()
		l.mu.Unlock()
	}
	return safe
}

// lay gives the ledger its journal, where it should have one and has none. It is for Open, and for the writer when
// nothing is in the journal that is not on disk.
func (l *Ledger) lay() {
	if l.size == 0 {
		return
	}
	f, err := layJournal(l.db, int64(2*l.size))
	if err != nil {
		l.cfg.Log.Error("the usage ledger has no journal: requests wait for the disk", "error", err, "again_after_seconds", again.Seconds())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.tried = time.Now()
	if err == nil {
		l.mu.journal = f
	}
}

// mend lays the journal out anew, some time after it has failed.
func (l *Ledger) mend() {
	l.mu.Lock()
	wanted := l.mu.journal == nil && l.mu.writing == nil && l.mu.fill.written == 0 && time.Since(l.mu.tried) > again
	l.mu.Unlock()
	if wanted {
		l.lay()
	}
}
