package backup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/raftlog"
	"github.com/lotabots/lotabots/storage/state"
)

// A History is an older state and the entries that lead from there to a frozen
// one: what a backup can be wound back by. It is good until the Frozen is closed.
// Close it.
type History struct {
	from, to uint64
	first    time.Time // of the first command after from; zero: there is none
	last     time.Time // of the last
	base     *bufio.Reader
	file     io.Closer // nil: the state at from, 0, is nothing
	frozen   *state.Frozen
}

// From is the index of the older state: 0 where the log has the cluster's first
// entry still.
func (h *History) From() uint64 { return h.from }

// Close lets go of the older state's file.
func (h *History) Close() error {
	if h == nil || h.file == nil {
		return nil
	}
	return h.file.Close()
}

// FindHistory looks for the longest history of a Raft server's frozen state that
// its snapshots and its log have. It returns nil where they have none.
//
// committed is Raft's commit index, read after s was frozen. Below it, every entry
// above the newest snapshot is what was agreed on. An older one need not be: a
// snapshot that a leader sends leaves entries below it that nobody agreed on. They
// show by their terms; see follow.
func FindHistory(s *state.Frozen, all raft.SnapshotStore, committed uint64, log *slog.Logger) (*History, error) {
	to, err := s.Index()
	if err != nil || committed < to {
		return nil, err
	}
	list, err := all.List() // after s was frozen: its log reaches down to what was there then, or further
	if err != nil {
		return nil, err
	}
	marks := map[uint64]uint64{}
	for _, m := range list {
		marks[m.Index] = m.Term
	}
	list = append(list, &raft.SnapshotMeta{}) // nothing
	for i := len(list) - 1; i >= 0; i-- {
		h, err := open(s, all, list[i], to)
		if err == nil && h != nil {
			if err = h.follow(list[i], marks); err == nil {
				return h, nil
			}
			err = errors.Join(err, h.Close())
		}
		if err != nil && !errors.Is(err, raftlog.ErrGap) {
			log.Info("an older state is no beginning of a backup", "index", list[i].Index, "error", err)
		}
	}
	return nil, nil
}

// open opens the older state m, unless it is newer than the frozen one.
func open(s *state.Frozen, all raft.SnapshotStore, m *raft.SnapshotMeta, to uint64) (*History, error) {
	h := &History{from: m.Index, to: to, frozen: s}
	if m.Index == 0 || m.Index > to {
		if m.Index > to || to == 0 {
			return nil, nil
		}
		return h, nil
	}
	_, file, err := all.Open(m.ID)
	if err != nil {
		return nil, err
	}
	h.base, h.file = bufio.NewReaderSize(file, 64<<10), file
	index, err := state.SnapshotIndex(h.base)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	// It is newer than Raft says where the state had entries before the log gave them.
	if h.from = max(h.from, index); h.from > to {
		return nil, file.Close()
	}
	return h, nil
}

// errForeign says that the log has what the state was not made of.
var errForeign = errors.New("the log below a snapshot is not the one that was agreed on")

// follow reads the entries to the end. They are those that were agreed on if
// wherever the term rises there is the entry by which a new leader begins his, and
// if each snapshot on the way has the term of the entry at its index: entries of
// equal index and term are the same, with all before them.
func (h *History) follow(base *raft.SnapshotMeta, marks map[uint64]uint64) error {
	term := uint64(0) // unknown
	if base.Index == h.from {
		term = base.Term
	}
	return raftlog.Walk(h.frozen.Database(), h.from+1, h.to, func(l *raft.Log) error {
		if term != 0 && l.Term != term && (l.Term < term || l.Type != raft.LogNoop) {
			return fmt.Errorf("%w: entry %d is of term %d, after term %d", errForeign, l.Index, l.Term, term)
		}
		if t, marked := marks[l.Index]; marked && t != l.Term {
			return fmt.Errorf("%w: entry %d is of term %d, and the snapshot of term %d", errForeign, l.Index, l.Term, t)
		}
		term = l.Term
		if at, ok := timeOf(l.Data); ok && l.Type == raft.LogCommand {
			if h.last = at; h.first.IsZero() {
				h.first = at
			}
		}
		return nil
	})
}

// timeOf is the proposer's time of a command.
func timeOf(command []byte) (time.Time, bool) {
	var c wire.Command
	if len(command) == 0 || proto.Unmarshal(command, &c) != nil {
		return time.Time{}, false
	}
	return time.UnixMilli(c.GetAtMs()).UTC(), true
}

// entries gives every entry above from. Raft's own have no command.
func (h *History) entries(each func(*wire.Entry) error) error {
	return raftlog.Walk(h.frozen.Database(), h.from+1, h.to, func(l *raft.Log) error {
		e := &wire.Entry{Index: l.Index, Term: l.Term}
		if l.Type == raft.LogCommand {
			e.Command = l.Data
		}
		return each(e)
	})
}
