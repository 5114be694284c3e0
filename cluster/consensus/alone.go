package consensus

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A Ground is what a server has on disk while it does not run.
type Ground struct {
	ID        spec.NodeID
	Addr      string
	Logs      raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	FSM       interface {
		FSM
		raft.ConfigurationStore
		Position() (index, term uint64)
	}
	Log *slog.Logger // nil: none
}

// A Standing is how far a server that does not run has got.
type Standing struct {
	Index   uint64        // of the newest entry in its log, its snapshots or its state
	Term    uint64        // the highest that it has seen
	Servers []spec.NodeID // of the newest configuration that it has; empty: it never was a server
	Voters  []spec.NodeID // of the servers
}

// raft's name for the term in the stable store.
var currentTerm = []byte("CurrentTerm")

// Examine tells the standing, and changes nothing.
func Examine(g Ground) (Standing, error) {
	var s Standing
	s.Index, s.Term = g.FSM.Position()
	term, err := g.Stable.GetUint64(currentTerm)
	if err != nil && err.Error() != "not found" { // as raft itself tells
		return s, fmt.Errorf("reading the term: %w", err)
	}
	s.Term = max(s.Term, term)
	all, err := g.Snapshots.List()
	if err != nil {
		return s, fmt.Errorf("listing the snapshots: %w", err)
	}
	var from uint64
	if len(all) > 0 {
		from = all[0].Index
		s.saw(all[0].Index, all[0].Term)
		s.serve(all[0].Configuration)
	}
	return s, g.walk(from, func(l *raft.Log) error {
		s.saw(l.Index, l.Term)
		if l.Type == raft.LogConfiguration {
			s.serve(raft.DecodeConfiguration(l.Data))
		}
		return nil
	})
}

func (s *Standing) saw(index, term uint64) { s.Index, s.Term = max(s.Index, index), max(s.Term, term) }

func (s *Standing) serve(c raft.Configuration) {
	s.Servers, s.Voters = nil, nil
	for _, server := range c.Servers {
		s.Servers = append(s.Servers, spec.NodeID(server.ID))
		if voter(server) {
			s.Voters = append(s.Voters, spec.NodeID(server.ID))
		}
	}
}

// walk gives each entry of the log above from.
func (g Ground) walk(from uint64, each func(*raft.Log) error) error {
	first, err := g.Logs.FirstIndex()
	if err != nil {
		return err
	}
	last, err := g.Logs.LastIndex()
	if err != nil {
		return err
	}
	for index := max(first, from+1); index <= last && last > 0; index++ {
		var l raft.Log
		if err := g.Logs.GetLog(index, &l); err != nil {
			return fmt.Errorf("reading entry %d of the log: %w", index, err)
		}
		if err := each(&l); err != nil {
			return err
		}
	}
	return nil
}

// StandAlone makes a server that does not run the only one of a new group. It
// applies what is left of its log, acknowledged or not; then what commands
// returns, having seen that state, of which none may be refused, at indexes that
// begin gap above the last; and ends the log with a snapshot whose configuration
// has this server alone. It returns the index of that snapshot.
//
// The gap keeps apart what the old group may still have agreed on: whoever has
// entries of it that this server lacks is behind all the same, and is given a
// snapshot. A StandAlone that was cut off may be repeated.
func StandAlone(g Ground, gap uint64, commands func() ([]*wire.Command, error)) (index uint64, err error) {
	defer func() { // the state machine halts on what it cannot apply
		if p := recover(); p != nil {
			err = fmt.Errorf("the state machine has halted: %v", p)
		}
	}()
	if g.Log == nil {
		g.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Examine(g)
	if err != nil {
		return 0, err
	}
	if err := g.catchUp(); err != nil {
		return 0, err
	}
	list, err := commands()
	if err != nil {
		return 0, err
	}
	index, term := s.Index+gap, s.Term+1
	if err := g.Stable.SetUint64(currentTerm, term); err != nil {
		return 0, fmt.Errorf("writing the term: %w", err)
	}
	for _, c := range list {
		index++
		if err := g.command(index, term, c); err != nil {
			return 0, err
		}
	}
	return index, g.conclude(index, term)
}

// catchUp applies what the snapshots and the log have beyond the state.
func (g Ground) catchUp() error {
	if err := catchUpWithSnapshot(Config{Snapshots: g.Snapshots, FSM: g.FSM, Log: g.Log}); err != nil {
		return err
	}
	at := g.FSM.Index()
	if first, err := g.Logs.FirstIndex(); err != nil {
		return err
	} else if newest, err := g.Snapshots.List(); err != nil {
		return err
	} else if first > at+1 && (len(newest) == 0 || first > newest[0].Index+1) {
		return fmt.Errorf("the state ends at entry %d and the log begins at %d: what is between is lost", at, first)
	}
	return g.walk(at, func(l *raft.Log) error {
		switch l.Type {
		case raft.LogCommand:
			g.FSM.Apply(l)
		case raft.LogConfiguration:
			g.FSM.StoreConfiguration(l.Index, raft.DecodeConfiguration(l.Data))
		}
		return nil
	})
}

func (g Ground) command(index, term uint64, c *wire.Command) error {
	c.Level = max(c.GetLevel(), wire.LevelOf(c))
	raw, err := proto.Marshal(c)
	if err != nil {
		return err
	}
	switch r := g.FSM.Apply(&raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: raw}).(type) {
	case error:
		return r
	case *wire.Result:
		if r.GetCode() != "" {
			return fmt.Errorf("the state refuses a command at entry %d: %s: %s", index, r.GetCode(), r.GetMessage())
		}
		return nil
	}
	return errors.New("the state machine did not answer")
}

// conclude puts the snapshot in the place of the log. Until the snapshot is
// closed the old log is in force; after it, what is left of that is below it.
func (g Ground) conclude(index, term uint64) error {
	taken, err := g.FSM.Snapshot()
	if err != nil {
		return fmt.Errorf("taking a snapshot: %w", err)
	}
	defer taken.Release()
	alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(g.ID), Address: raft.ServerAddress(g.Addr)}}}
	_, nowhere := raft.NewInmemTransport("") // stores may ask how peers were encoded long ago
	sink, err := g.Snapshots.Create(raft.SnapshotVersionMax, index, term, alone, index, nowhere)
	if err != nil {
		return fmt.Errorf("taking a snapshot: %w", err)
	}
	if err := taken.Persist(sink); err != nil { // closes sink
		return fmt.Errorf("taking a snapshot: %w", err)
	}
	first, err := g.Logs.FirstIndex()
	if err != nil {
		return err
	}
	last, err := g.Logs.LastIndex()
	if err != nil {
		return err
	}
	if last == 0 {
		return nil
	}
	return g.Logs.DeleteRange(first, last)
}
