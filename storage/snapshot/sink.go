package snapshot

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec/whole"
)

// A sink takes one snapshot's state. Nothing is to be seen of it until Close has
// returned without an error.
type sink struct {
	s    *Store
	m    meta
	f    *os.File
	buf  *bufio.Writer
	sum  hash.Hash
	err  error // the first failure: the snapshot can no longer become whole
	done bool
}

// Create begins a snapshot. The transport is not needed: only version 0 wanted
// to encode peers.
func (s *Store) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if version != 1 {
		return nil, fmt.Errorf("create a snapshot: version %d is not supported, 1 is", version)
	}
	id := fmt.Sprintf("%d-%d-%d", term, index, s.stamp())
	f, err := os.OpenFile(s.path(id, stateFile+unfinished), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create a snapshot: %w", err)
	}
	return &sink{
		s: s, f: f, buf: bufio.NewWriterSize(f, 64<<10), sum: sha256.New(),
		m: meta{Format: format, Version: version, ID: id, Index: index, Term: term,
			Configuration: configuration.Clone(), ConfigurationIndex: configurationIndex},
	}, nil
}

// stamp is the time in ms, but never the same twice.
func (s *Store) stamp() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.last = max(time.Now().UnixMilli(), s.mu.last+1)
	return s.mu.last
}

// ID names the snapshot for Store.Open.
func (k *sink) ID() string { return k.m.ID }

// Write takes the next bytes of the state.
func (k *sink) Write(b []byte) (int, error) {
	if k.done {
		return 0, os.ErrClosed
	}
	if k.err != nil {
		return 0, k.err
	}
	n, err := k.buf.Write(b)
	k.sum.Write(b[:n])
	k.m.Size += int64(n)
	k.err = err
	return n, err
}

// Close makes the snapshot one of the store, on disk, or leaves nothing of it.
// Later calls do nothing.
func (k *sink) Close() error {
	if k.done {
		return nil
	}
	k.done = true
	if err := k.finish(); err != nil {
		k.discard()
		return fmt.Errorf("snapshot %s: %w", k.m.ID, err)
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	k.s.addLocked(&k.m)
	return nil
}

// Cancel leaves nothing of the snapshot, unless Close was called before.
func (k *sink) Cancel() error {
	if k.done {
		return nil
	}
	k.done = true
	k.err = errors.New("canceled")
	k.f.Close()
	k.discard()
	return nil
}

// finish writes in the order that a crash may interrupt anywhere: the state and
// its name, then the meta file and its name, each on disk before the next.
func (k *sink) finish() error {
	err := k.err
	if err == nil {
		err = k.buf.Flush()
	}
	if err != nil {
		return errors.Join(err, k.f.Close())
	}
	if err := whole.Place(k.f, k.s.path(k.m.ID, stateFile)); err != nil {
		return err
	}
	k.m.SHA256 = hex.EncodeToString(k.sum.Sum(nil))
	raw, err := k.m.encode()
	if err != nil {
		return err
	}
	return whole.Write(k.s.path(k.m.ID, metaFile), raw)
}

// discard removes what finish may have made, the meta file first.
func (k *sink) discard() {
	for _, extension := range []string{metaFile, stateFile, stateFile + unfinished} {
		if err := os.Remove(k.s.path(k.m.ID, extension)); err != nil && !errors.Is(err, os.ErrNotExist) {
			k.s.log.Warn("the rest of a snapshot could not be removed", "snapshot", k.m.ID, "error", err)
		}
	}
}
