package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

// The bare broadcast is the reference: the least that it takes to bring the same
// entries to as many states by the same connections.
const broadcastProto = "broadcast"

// serveBroadcast has s write every entry that it applies, in one piece, to each
// raw connection of broadcastProto.
func serveBroadcast(life context.Context, s *server) {
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	incoming := s.port.Listener(broadcastProto)
	go func() {
		for {
			c, err := incoming.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
		}
	}()
	go func() {
		from := s.state.Index()
		for life.Err() == nil {
			changed := s.state.Changed()
			entries, ok := s.state.Entries(from, 0)
			if !ok {
				from = s.state.Index()
			}
			var b []byte
			for _, e := range entries {
				b = binary.BigEndian.AppendUint32(b, uint32(proto.Size(e)))
				b, _ = proto.MarshalOptions{}.MarshalAppend(b, e)
				from = e.GetIndex()
			}
			mu.Lock()
			for c := range conns {
				if len(b) == 0 {
					break
				}
				_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
				if _, err := c.Write(b); err != nil {
					_ = c.Close()
					delete(conns, c)
				}
			}
			mu.Unlock()
			select {
			case <-changed:
			case <-life.Done():
			}
		}
	}()
}

// listen applies what a bare broadcast brings to f's state, until the connection
// is closed.
func (f *follower) listen(c net.Conn) error {
	in := bufio.NewReaderSize(c, 64<<10)
	for {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		raw := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(in, raw); err != nil {
			return err
		}
		e := &wire.Entry{}
		if err := proto.Unmarshal(raw, e); err != nil {
			return err
		}
		if e.GetIndex() <= f.state.Index() {
			continue
		}
		if _, err := f.state.ApplyEntry(e); err != nil {
			return fmt.Errorf("applying entry %d: %w", e.GetIndex(), err)
		}
	}
}
