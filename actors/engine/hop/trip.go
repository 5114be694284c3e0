package hop

import (
	"io"
	"os"
	"syscall"

	"github.com/lotabots/lotabots/cluster/spec/turns"
)

// A trip is one turn with the poller in which a request is sent and its answer waited for. A write
// and a read by themselves are two, and have the connection looked at twice: before the request,
// lest the server has closed it, and after, when nothing has come yet. The turn begins before the
// look, so that whatever comes after it ends the wait.
//
// None of its system calls waits, so the scheduler is not told of them: it would give the
// processor to another thread that has to be woken for it.
type trip struct {
	turn  func(fd uintptr) (over bool) // made once
	out   []byte
	in    []byte
	look  bool // it was kept
	stale bool // the server had closed it, or has sent what nobody asked for: nothing was sent
	sent  bool // all of out
	wrote int
	read  int
	err   error // of the read or the write
}

// step is the trip's next part.
func (t *trip) step(fd uintptr) (over bool) {
	if !t.sent {
		if t.look {
			if t.stale = !nothingCame(fd); t.stale {
				return true
			}
			counters.reused.Add(1)
		}
		t.wrote, t.err = writeNow(fd, t.out)
		if t.sent = t.err == nil && t.wrote == len(t.out); !t.sent {
			return true
		}
		return false
	}
	t.read, t.err = readNow(fd, t.in)
	return t.err != syscall.EAGAIN
}

// travel sends out, and returns with what came first after it, which may be written over out.
func (k *conn) travel(out, in []byte, look bool) *trip {
	t := &k.trip
	t.out, t.in, t.look = out, in, look
	t.stale, t.sent, t.wrote, t.read, t.err = false, false, 0, 0, nil
	turns.Yield()
	err := k.raw.Read(t.turn)
	turns.Yield()
	t.out, t.in = nil, nil
	switch {
	case err != nil: // it was closed meanwhile
		t.err, t.read = err, 0
	case t.stale:
	case !t.sent && t.err == syscall.EAGAIN:
		t.err = nil // who called goes on
	case t.err != nil && t.sent:
		t.err = os.NewSyscallError("read", t.err)
	case t.err != nil:
		t.err = os.NewSyscallError("write", t.err)
	case t.sent && t.read == 0:
		t.err = io.EOF
	}
	return t
}

// quiet tells whether nothing came on a connection that waits, no end either.
func (k *conn) quiet() bool {
	if k.raw == nil {
		return true
	}
	still := false
	err := k.raw.Control(func(fd uintptr) { still = nothingCame(fd) })
	return still && err == nil
}
