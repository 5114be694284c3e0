package state

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// What keeps an entry from being applied.
var (
	// ErrLevel: this build does not know the command. A newer one does.
	ErrLevel = errors.New("this build cannot apply the entry")
	// ErrOutOfOrder: the entry's index is not above the applied one.
	ErrOutOfOrder = errors.New("the entry is not newer than the state")
	// ErrRewritten: the log has another entry where this state has applied one.
	// Acknowledged entries were lost, and the node's data must not be used on.
	ErrRewritten = errors.New("the log no longer has what was applied from it")
)

var _ interface {
	raft.FSM
	raft.ConfigurationStore
} = (*Store)(nil)

// Apply implements raft.FSM and answers a *wire.Result. An entry at or below the
// applied index is skipped; it answers as it did the first time where that is
// remembered, else with outcome_unknown. Apply panics where it cannot go on.
func (s *Store) Apply(l *raft.Log) any {
	s.writing.Lock()
	defer s.writing.Unlock()
	result, err := s.applyLogLocked(l)
	if err != nil {
		panic(fmt.Sprintf("state: entry %d of term %d stops this node: %v", l.Index, l.Term, err))
	}
	return result
}

func (s *Store) applyLogLocked(l *raft.Log) (*wire.Result, error) {
	e := &wire.Entry{Index: l.Index, Term: l.Term, Command: l.Data}
	if l.Index <= s.writing.applied.index {
		return s.skippedLocked(e)
	}
	c, err := decodeCommand(l.Data)
	if err != nil {
		return nil, err
	}
	return s.applyLocked(e, c)
}

// StoreConfiguration implements raft.ConfigurationStore: a change of Raft's
// servers changes no record and moves the applied index on.
func (s *Store) StoreConfiguration(index uint64, _ raft.Configuration) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if index <= s.writing.applied.index {
		return
	}
	if _, err := s.applyLocked(&wire.Entry{Index: index}, nil); err != nil {
		panic(fmt.Sprintf("state: entry %d stops this node: %v", index, err))
	}
}

// ApplyEntry applies an entry of the feed. It wraps ErrOutOfOrder where the
// index is not above the applied one, and ErrLevel where this build is too old;
// the state is as before then. It keeps e.
func (s *Store) ApplyEntry(e *wire.Entry) (*wire.Result, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if at := s.writing.applied.index; e.GetIndex() <= at {
		return nil, fmt.Errorf("%w: it is at %d and the entry at %d", ErrOutOfOrder, at, e.GetIndex())
	}
	if len(e.GetCommand()) == 0 { // Raft's own
		return s.applyLocked(e, nil)
	}
	c, err := decodeCommand(e.GetCommand())
	if err != nil {
		return nil, err
	}
	return s.applyLocked(e, c)
}

// applyLocked brings the records to entry e, which has command c, tells
// everybody and answers. Where it returns an error nothing has changed. It needs
// writing.
func (s *Store) applyLocked(e *wire.Entry, c *wire.Command) (result *wire.Result, err error) {
	defer recovered(&err)
	was := s.writing.applied
	t := s.beginLocked(e.GetIndex(), c)
	defer t.batch.Close()
	result = t.run()
	at := position{index: e.GetIndex(), term: max(was.term, e.GetTerm()), level: max(was.level, t.level())}
	t.set([]byte{positionMark}, at.encode())
	must(s.db.Apply(t.batch))

	s.writing.applied = at
	s.writing.requests = t.requests
	s.writing.audit, s.writing.floors = t.log, t.floors
	s.window.needs.Store(at.level)
	s.watches.tell(Change{Index: at.index, Records: t.refs})
	s.window.add(e, s.limits)
	return result, nil
}

// decodeCommand reads a command, or says why this build cannot.
func decodeCommand(raw []byte) (*wire.Command, error) {
	c := &wire.Command{}
	if err := proto.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("%w: it is no command: %w", ErrLevel, err)
	}
	if needs := needs(c); needs > Level {
		return nil, fmt.Errorf("%w: it needs feature level %d, and this build knows the commands up to level %d: upgrade this node", ErrLevel, needs, Level)
	}
	return c, nil
}

// needs is the feature level that it takes to apply a command: what its proposer
// says, and no less than its body came with. It is above Level for a body that
// this build does not carry out, whatever the proposer says.
func needs(c *wire.Command) uint32 {
	level := wire.LevelOf(c)
	if level == 1 { // a level that nobody has stamped is the first one's
		return c.GetLevel()
	}
	return max(c.GetLevel(), level)
}

// skippedLocked answers an entry that the records have already. It needs writing.
func (s *Store) skippedLocked(e *wire.Entry) (_ *wire.Result, err error) {
	defer recovered(&err)
	at := s.writing.applied
	if e.GetTerm() > at.term {
		return nil, fmt.Errorf("%w: entry %d is of term %d, and the state at entry %d has seen no term after %d",
			ErrRewritten, e.GetIndex(), e.GetTerm(), at.index, at.term)
	}
	var c wire.Command
	if proto.Unmarshal(e.GetCommand(), &c) == nil { // a newer build's may be unreadable, and is not applied here
		if r, ok := s.view().remembered(c.GetRequestId()); ok {
			return r, nil
		}
	}
	r := refuse(spec.CodeOutcomeUnknown, "entry %d was applied before, and its answer is not remembered", e.GetIndex())
	r.Index = e.GetIndex()
	return r, nil
}
