package shim

import (
	"net"
	"time"
)

// A conn is one connection to the shim: a goroutine that reads, and one that writes.
type conn struct {
	out   chan answer
	ended bool // the loop's: out is closed
}

const (
	outbox    = 16              // answers that may wait; whoever does not read loses its connection
	writeTime = 3 * time.Second // for one answer
)

// serveConn serves c under the number id, and says on closed when it is over.
func serveConn(id int, c *net.UnixConn, questions chan<- question, closed chan<- int) *conn {
	k := &conn{out: make(chan answer, outbox)}
	written := make(chan struct{})
	go func() {
		defer close(written)
		k.write(c)
	}()
	go func() {
		k.read(id, c, questions)
		closed <- id
		<-written
	}()
	return k
}

// read passes requests on until the connection ends.
func (k *conn) read(id int, c *net.UnixConn, questions chan<- question) {
	for s := lines(c); s.Scan(); {
		r, no := parse(s.Bytes())
		questions <- question{conn: id, request: r, refused: no}
	}
}

// write sends answers until end, or the first that the peer does not take; then it closes the connection.
func (k *conn) write(c *net.UnixConn) {
	broken := false
	for a := range k.out {
		raw, err := frame(a)
		if err != nil { // too long: a note and the rest together
			raw, err = frame(answer{V: a.V, ID: a.ID, Code: codeBad, Text: err.Error()})
		}
		_ = c.SetWriteDeadline(time.Now().Add(writeTime))
		if err == nil && !broken {
			_, err = c.Write(raw)
		}
		if err != nil && !broken {
			broken = true
			_ = c.Close() // the reader tells of it
		}
	}
	_ = c.Close()
}

// tell sends an answer. The loop alone calls it, and end.
func (k *conn) tell(a answer) {
	if k.ended {
		return
	}
	select {
	case k.out <- a:
	default:
		k.end()
	}
}

// end closes the connection after the answers that wait.
func (k *conn) end() {
	if !k.ended {
		k.ended = true
		close(k.out)
	}
}
