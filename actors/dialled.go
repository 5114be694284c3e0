package actors

import (
	"context"
	"net"
	"sync"
)

// dialled has the connections to other nodes, so that they can be ended from
// outside: the library waits for a peer that is frozen as long as TCP does.
type dialled struct {
	dial func(ctx context.Context, address string) (net.Conn, error)
	mu   struct {
		sync.Mutex
		open   map[*outgoing]string // with their addresses
		closed bool
	}
}

func newDialled(dial func(context.Context, string) (net.Conn, error)) *dialled {
	d := &dialled{dial: dial}
	d.mu.open = map[*outgoing]string{}
	return d
}

// An outgoing is a connection that leaves the set when it is closed.
type outgoing struct {
	net.Conn
	all *dialled
}

func (o *outgoing) Close() error {
	o.all.mu.Lock()
	delete(o.all.mu.open, o)
	o.all.mu.Unlock()
	return o.Conn.Close()
}

func (d *dialled) connect(ctx context.Context, address string) (net.Conn, error) {
	c, err := d.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	o := &outgoing{Conn: c, all: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.closed {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	d.mu.open[o] = address
	return o, nil
}

// cut ends the connections to the address.
func (d *dialled) cut(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for o, a := range d.mu.open {
		if a == address {
			_ = o.Conn.Close()
		}
	}
}

// close ends every connection, and makes no more.
func (d *dialled) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.closed = true
	for o := range d.mu.open {
		_ = o.Conn.Close()
	}
}
