package transport

import (
	"bufio"
	"net"
	"sync"
)

// bulkBuffer is what goes to the kernel, or comes from it, at a time. crypto/tls
// makes a call for each record of 16 KiB otherwise.
const bulkBuffer = 256 << 10

// A bulk is under the TLS of a connection that moves much. It reads ahead, and once it
// is corked it keeps what is written until there is much of it, or flush is called.
type bulk struct {
	net.Conn
	in *bufio.Reader // one goroutine reads at a time: crypto/tls sees to it

	mu     sync.Mutex
	corked bool
	out    []byte
}

func newBulk(c net.Conn) *bulk { return &bulk{Conn: c, in: bufio.NewReaderSize(c, bulkBuffer)} }

func (b *bulk) Read(p []byte) (int, error) { return b.in.Read(p) }

func (b *bulk) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.corked {
		return b.Conn.Write(p)
	}
	if len(b.out)+len(p) > bulkBuffer {
		if err := b.flushLocked(); err != nil {
			return 0, err
		}
	}
	b.out = append(b.out, p...)
	return len(p), nil
}

// cork is called when the handshake is done.
func (b *bulk) cork() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.corked, b.out = true, make([]byte, 0, bulkBuffer)
}

func (b *bulk) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flushLocked()
}

func (b *bulk) flushLocked() error {
	if len(b.out) == 0 {
		return nil
	}
	_, err := b.Conn.Write(b.out)
	b.out = b.out[:0]
	return err
}

// uncork lets the end of the connection be told. What was not flushed is lost.
func (b *bulk) uncork() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.corked, b.out = false, nil
}
