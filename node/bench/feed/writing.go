package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

const seeders = 64 // writers at a time before the first follower comes

// Addresses are where the servers' cluster ports are, by id.
func (g *Servers) Addresses(_ int, out *map[string]string) error {
	*out = map[string]string{}
	for _, s := range g.list {
		(*out)[s.id] = s.port.Addr()
	}
	return nil
}

// Seed writes the keys that the state is to have at first.
func (g *Servers) Seed(keys int, _ *int) error {
	failed := make([]error, seeders)
	var work sync.WaitGroup
	for w := range seeders {
		work.Go(func() {
			for i := w; i < keys && failed[w] == nil; i += seeders {
				_, failed[w] = g.propose(putKey(fmt.Sprintf("seed-%06d", i)))
			}
		})
	}
	work.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// Write creates keys and revokes each with the next write, at a steady rate, and
// tells of each when it was acknowledged. Where one takes longer than it may, the
// next begins later.
func (g *Servers) Write(l Load, out *[]Write) error {
	tick := time.NewTicker(l.Every)
	defer tick.Stop()
	for i := range l.Count {
		id := fmt.Sprintf("key-%06d", g.next/2)
		c := putKey(id)
		if g.next%2 == 1 {
			c.Body = &wire.Command_RevokeKey{RevokeKey: &wire.RevokeKey{Id: id}}
		}
		g.next++
		if i > 0 {
			<-tick.C
		}
		begun := time.Now()
		r, err := g.propose(c)
		if err != nil {
			return err
		}
		*out = append(*out, Write{Index: r.GetIndex(), Begun: begun.UnixNano(), Acked: time.Now().UnixNano(), Bytes: proto.Size(c)})
	}
	return nil
}

func putKey(id string) *wire.Command {
	hash := sha256.Sum256([]byte(id))
	return &wire.Command{Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: &wire.APIKey{
		Id: id, Tenant: "acme", Name: id, Hash: bytes.Clone(hash[:]), Scopes: []string{"infer"}, Models: []string{"chat-*"},
		RequestsPerMinute: 600, CreatedBy: "bench",
	}}}}
}

// Usage is what this process has used so far.
func (g *Servers) Usage(_ int, out *Usage) error {
	cpu, err := cpuTime()
	if err != nil {
		return err
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	*out = Usage{CPU: cpu, Memory: int64(m.HeapAlloc + m.StackInuse), Sent: g.sent.Load()}
	for _, s := range g.list {
		out.Index = max(out.Index, s.state.Index())
	}
	return nil
}

// cpuTime is what this process has used of the processors.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
