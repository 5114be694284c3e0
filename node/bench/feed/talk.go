package main

import (
	"errors"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"time"
)

// What the two processes tell each other, by net/rpc over the servers' standard
// input and output. Times are of the machine's clock, which they share.

// Load is a request to write.
type Load struct {
	Count int
	Every time.Duration
}

// A Write is one that was acknowledged.
type Write struct {
	Index uint64
	Bytes int   // of the entry
	Begun int64 // nanoseconds since 1970
	Acked int64
}

// Usage is what the servers' process has used so far.
type Usage struct {
	CPU    time.Duration
	Memory int64 // bytes in use of heap and stacks, after a collection
	Sent   int64 // bytes that handlers of the feed have written
	Index  uint64
}

type twoWay struct {
	io.Reader
	io.WriteCloser
}

// group is the servers, seen from the followers' process.
type group struct {
	*rpc.Client
	process *exec.Cmd
}

// startGroup runs this executable once more, as the servers.
func startGroup(dir, profile string) (*group, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.Command(self, "-serve", dir, "-profile", profile)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return &group{rpc.NewClient(twoWay{out, in}), c}, nil
}

func (g *group) addresses() (out map[string]string, err error) {
	return out, g.Call("Servers.Addresses", 0, &out)
}

func (g *group) seed(keys int) error { return g.Call("Servers.Seed", keys, new(int)) }

func (g *group) write(l Load) (out []Write, err error) {
	return out, g.Call("Servers.Write", l, &out)
}

func (g *group) usage() (out Usage, err error) {
	return out, g.Call("Servers.Usage", 0, &out)
}

// stop ends the servers and waits for their process.
func (g *group) stop() error {
	_ = g.Close() // their input ends
	ended := make(chan error, 1)
	go func() { ended <- g.process.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		return errors.Join(errors.New("the servers did not end in time"), g.process.Process.Kill(), <-ended)
	}
}
