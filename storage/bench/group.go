package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"

	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/raftlog"
)

type store interface {
	raft.LogStore
	raft.StableStore
}

// A group is one Raft server that leads itself, on one store.
type group struct {
	name  string
	raft  *raft.Raft
	ended func() error
}

// open starts a group on each store. Its files are in a folder of their own.
func open(dir string, writers int) ([]*group, error) {
	var groups []*group
	for _, s := range []struct {
		name string
		open func(dir string) (store, func() error, error)
	}{{"lotabots", openLotabots}, {"boltdb", openBolt}, {"raftwal", openWAL}} {
		home := filepath.Join(dir, fmt.Sprintf("%s-%d", s.name, writers))
		if err := os.Mkdir(home, 0o700); err != nil {
			return nil, err
		}
		st, ended, err := s.open(home)
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", s.name, err)
		}
		g, err := lead(s.name, st, ended)
		if err != nil {
			return nil, fmt.Errorf("starting Raft on %s: %w", s.name, err)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func openLotabots(dir string) (store, func() error, error) {
	db, err := storage.Open(dir, storage.Options{})
	if err != nil {
		return nil, nil, err
	}
	return raftlog.New(db), db.Close, nil
}

func openBolt(dir string) (store, func() error, error) {
	s, err := raftboltdb.NewBoltStore(filepath.Join(dir, "raft.db"))
	if err != nil {
		return nil, nil, err
	}
	return s, s.Close, nil
}

func openWAL(dir string) (store, func() error, error) {
	s, err := wal.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	return s, s.Close, nil
}

func lead(name string, s store, ended func() error) (*group, error) {
	c := raft.DefaultConfig()
	c.LocalID = "one"
	c.LogOutput = io.Discard
	c.NoLegacyTelemetry = true
	addr, transport := raft.NewInmemTransport("")
	r, err := raft.NewRaft(c, nothing{}, s, s, raft.NewDiscardSnapshotStore(), transport)
	if err != nil {
		return nil, err
	}
	err = r.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{ID: "one", Address: addr}}}).Error()
	if err != nil {
		return nil, err
	}
	if led := <-r.LeaderCh(); !led {
		return nil, fmt.Errorf("the only server does not lead")
	}
	return &group{name, r, ended}, r.Barrier(10 * time.Second).Error()
}

// load has the writers propose for a while, and gives applies per second.
func (g *group) load(writers int, each time.Duration, size int) (float64, error) {
	entry := bytes.Repeat([]byte("lotabots"), size/8+1)[:size]
	var applied atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	began := time.Now()
	for range writers {
		all.Go(func() {
			for time.Since(began) < each {
				if err := g.raft.Apply(entry, 0).Error(); err != nil {
					failed.Store(&err)
					return
				}
				applied.Add(1)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(applied.Load()) / time.Since(began).Seconds(), nil
}

func (g *group) close() {
	_ = g.raft.Shutdown().Error()
	_ = g.ended()
}

// nothing is a state machine that keeps nothing.
type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nothing{}, nil }
func (nothing) Restore(r io.ReadCloser) error       { return r.Close() }
func (nothing) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (nothing) Release()                            {}

// syncTime is how long the disk takes to make 4 KiB durable.
func syncTime(dir string) time.Duration {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0
	}
	defer f.Close()
	block := make([]byte, 4096)
	var took []time.Duration
	for range 50 {
		began := time.Now()
		if _, err := f.WriteAt(block, 0); err != nil {
			return 0
		}
		if err := f.Sync(); err != nil {
			return 0
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}
