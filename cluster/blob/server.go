package blob

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	askWithin  = 2 * time.Minute  // that a connection may ask nothing
	giveWithin = 30 * time.Second // that a piece may take
	maxConns   = 512              // at a time
)

// A Server answers the protocol Proto. metrics may be nil.
type Server struct {
	src     Source
	models  func(name string) (*wire.Model, bool)
	metrics *Metrics
	room    chan struct{}
}

// NewServer serves what src holds, whole or in part, of the models that the state knows.
func NewServer(src Source, models func(name string) (*wire.Model, bool), metrics *Metrics) *Server {
	return &Server{src: src, models: models, metrics: metrics, room: make(chan struct{}, maxConns)}
}

// Serve answers l's connections until ctx ends or l does, closes both, and returns when
// all have ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) {
	var all sync.WaitGroup
	defer all.Wait()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case s.room <- struct{}{}:
		default:
			_ = c.Close() // who asked asks others
			continue
		}
		all.Go(func() {
			defer func() { <-s.room }()
			defer c.Close()
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			for s.one(c) == nil && ctx.Err() == nil {
			}
		})
	}
}

// one answers one request. After an error the connection is in no known state.
func (s *Server) one(c net.Conn) error {
	if err := c.SetReadDeadline(time.Now().Add(askWithin)); err != nil {
		return err
	}
	q, err := readRequest(c)
	if err != nil {
		return err
	}
	out := &giving{c: c, metrics: s.metrics}
	m, ok := s.models(q.name)
	switch {
	case !ok:
		err = out.refuse(saidLacks, "this node knows no such model") // its state may lag
	case !bytes.Equal(m.GetDigest(), q.digest):
		err = out.refuse(saidNo, "the model has another digest here")
	case q.op == askHave:
		err = s.have(out, m)
	case int64(q.chunk) >= int64(len(m.GetChunks())):
		err = out.refuse(saidNo, "the model has no such chunk")
	default:
		err = s.give(out, m, int(q.chunk), q.op == askAgain)
	}
	if err != nil {
		return err
	}
	return flush(c)
}

func (s *Server) have(out *giving, m *wire.Model) error {
	have := s.src.Chunks(m)
	if have == nil {
		return out.refuse(saidLacks, "this node does not hold the model")
	}
	b := bitmap(have)
	if err := out.send(appendAnswer(nil, saidYes, len(b))); err != nil {
		return err
	}
	return out.send(b)
}

// give sends a chunk as it is read. A reader's error is told where nothing was sent.
func (s *Server) give(out *giving, m *wire.Model, i int, again bool) error {
	length := lengthOf(m, i)
	err := s.src.ReadPieces(m, i, again, func(piece []byte) error {
		if out.begun {
			return out.give(piece)
		}
		out.begun = true
		return errors.Join(out.send(appendAnswer(nil, saidYes, length)), out.give(piece))
	})
	if err == nil {
		return nil
	}
	if spec.CodeOf(err) == spec.CodeModelDamaged {
		s.metrics.Damaged("disk", 1)
	}
	switch {
	case out.begun:
		return err
	case spec.CodeOf(err) == spec.CodeNotFound:
		return out.refuse(saidLacks, "this node does not hold the chunk")
	}
	return out.refuse(saidNo, "the chunk cannot be read here")
}

// giving is an answer on its way.
type giving struct {
	c       net.Conn
	metrics *Metrics
	begun   bool
}

func (g *giving) send(b []byte) error {
	if err := g.c.SetWriteDeadline(time.Now().Add(giveWithin)); err != nil {
		return err
	}
	_, err := g.c.Write(b)
	return err
}

func (g *giving) give(piece []byte) error {
	err := g.send(piece)
	if err == nil {
		g.metrics.out(len(piece))
	}
	return err
}

func (g *giving) refuse(said byte, why string) error {
	return g.send(append(appendAnswer(nil, said, len(why)), why...))
}

// flush sends what a connection of the cluster port has kept until there is more of it.
func flush(c net.Conn) error {
	if f, ok := c.(interface{ Flush() error }); ok {
		return f.Flush()
	}
	return nil
}
