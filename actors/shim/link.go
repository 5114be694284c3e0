package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Link is the node's connection to a shim, and its claim on the engine once Claim has been granted.
// Any goroutine may use it. Whoever has one ends it by Stop and Done, or by Release.
type Link struct {
	room  string
	conn  *net.UnixConn
	child *exec.Cmd // the shim, where this process has started it
	shim  int       // its process
	born  stat      // of that number: it may be another's later
	done  chan struct{}
	heard atomic.Uint64 // lines of the shim's

	mu struct {
		sync.Mutex
		last     uint64                 // request's number
		waiting  map[uint64]chan answer // by the request's number
		ending   Ending
		told     bool // ending came from the shim
		held     bool // the claim was granted, or the shim is our child
		mute     bool // it was killed since it answered nothing
		released bool // by Release, or to a newer process
	}
}

// ErrMute says that the shim is there and does not answer.
var ErrMute = errors.New("the shim has not answered in time")

// ErrVersion says that the shim speaks no version of the protocol that this build does.
var ErrVersion = errors.New("the shim is of another generation")

var (
	errGone     = errors.New("the shim is gone")
	errReleased = errors.New("the claim was given up")
)

// A RefusalError is a shim's no.
type RefusalError struct{ Code, Text string }

func (e *RefusalError) Error() string { return e.Text + " (" + e.Code + ")" }

// Is makes a refused version ErrVersion.
func (e *RefusalError) Is(target error) bool { return target == ErrVersion && e.Code == codeVersion }

func newLink(room string, conn *net.UnixConn, child *exec.Cmd, pid int) *Link {
	l := &Link{room: room, conn: conn, child: child, shim: pid, done: make(chan struct{})}
	l.born, _ = statOf(pid)
	l.mu.waiting, l.mu.held = map[uint64]chan answer{}, child != nil
	go l.attend()
	return l
}

// attend reads until the connection ends, and sees that nothing is left of the shim then.
func (l *Link) attend() {
	defer close(l.done)
	for s := lines(l.conn); s.Scan(); {
		l.take(s.Bytes())
	}
	_ = l.conn.Close()
	l.mu.Lock()
	ours := l.mu.held && !l.mu.released
	for id, c := range l.mu.waiting {
		close(c)
		delete(l.mu.waiting, id)
	}
	l.mu.Unlock()
	if ours {
		l.bury()
	}
}

func (l *Link) take(line []byte) {
	l.heard.Add(1)
	a, err := parseAnswer(line)
	if err != nil {
		return // of a later version, perhaps: what we ask for has a limit
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case a.Event == eventEnded && a.Ended != nil:
		l.mu.ending, l.mu.told = *a.Ended, true
	case a.Event == eventDisplaced:
		l.mu.released = true
		l.mu.ending = Ending{How: "a newer process of the node has it"}
	case a.Event == "" && l.mu.waiting[a.ID] != nil:
		l.mu.waiting[a.ID] <- a // there is room for one
		delete(l.mu.waiting, a.ID)
	}
}

// buryTime is how long a shim that has hung up may take to end.
const buryTime = 5 * time.Second

// bury waits for the shim's end, helps it along, and sweeps what it could not end itself.
func (l *Link) bury() {
	late := time.AfterFunc(buryTime, l.kill)
	if l.child != nil {
		_ = l.child.Wait()
	} else {
		for l.alive() {
			time.Sleep(2 * time.Millisecond)
		}
	}
	late.Stop()
	swept, err := sweepRoom(l.room)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mu.told {
		l.mu.ending = Ending{How: "its shim was killed, and it with it"}
		if l.mu.mute {
			l.mu.ending.How = "its shim answered nothing and was killed, and it with it"
		}
		if swept != "" {
			l.mu.ending.How += "; what was left of it was ended: " + swept
		}
	}
	if err != nil {
		l.mu.ending.How += fmt.Sprintf("; %v", err)
	}
}

// sweepRoom empties a room whose shim is gone, unless somebody has taken it since.
func sweepRoom(room string) (swept string, err error) {
	lock, err := Lock(room)
	if err != nil {
		return "", nil // gone, as it should be, or taken
	}
	defer lock.Close()
	swept, err = Sweep(room)
	return swept, errors.Join(err, os.RemoveAll(room))
}

// Lock takes the exclusive lock on a room, which ends with the last process that has the file.
func Lock(room string) (*os.File, error) {
	f, err := openRoom(room)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", room, err)
	}
	return f, nil
}

// openRoom opens a directory, and never waits for what only has a room's name.
func openRoom(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
}

// alive tells of a shim that is no child of ours whether it runs.
func (l *Link) alive() bool {
	now, there := statOf(l.shim)
	return there && now.state != 'Z' && now.start == l.born.start
}

func (l *Link) kill() { l.signal(syscall.SIGKILL) }

func (l *Link) signal(s syscall.Signal) {
	switch {
	case l.child != nil:
		_ = l.child.Process.Signal(s)
	case l.alive():
		_ = syscall.Kill(l.shim, s)
	}
}

// call asks and waits for the answer, for as long as ctx lasts.
func (l *Link) call(ctx context.Context, r request) (answer, error) { return l.ask(ctx, r, 0) }

// ask is call with a limit, 0 for none, on the time in which this process runs: while it was stopped or starved,
// it could not have seen the answer. Time in which the shim waits for a processor or the disk counts little. The
// error is ErrMute where the limit has passed.
func (l *Link) ask(ctx context.Context, r request, limit time.Duration) (answer, error) {
	reply := make(chan answer, 1)
	l.mu.Lock()
	l.mu.last++
	r.V, r.ID = Version, l.mu.last
	l.mu.waiting[r.ID] = reply
	l.mu.Unlock()
	raw, err := frame(r)
	if err == nil {
		_ = l.conn.SetWriteDeadline(time.Now().Add(writeTime))
		_, err = l.conn.Write(raw)
	}
	if err != nil {
		l.forget(r.ID)
		return answer{}, errors.Join(errGone, err)
	}
	var tick <-chan time.Time
	if limit > 0 {
		t := time.NewTicker(awakeStep)
		defer t.Stop()
		tick = t.C
	}
	awake := awake{last: time.Now()}
	for {
		select {
		case a, ok := <-reply:
			switch {
			case !ok:
				return answer{}, errGone
			case a.Code != "":
				return a, &RefusalError{a.Code, a.Text}
			}
			return a, nil
		case <-l.done:
			return answer{}, errGone
		case <-ctx.Done():
			l.forget(r.ID)
			return answer{}, fmt.Errorf("the shim has not answered: %w", ctx.Err())
		case <-tick:
			if awake.step(time.Now(), hungry(l.shim)) >= limit {
				l.forget(r.ID)
				return answer{}, ErrMute
			}
		}
	}
}

// awakeStep is how often this process looks whether it runs.
const awakeStep = 50 * time.Millisecond

// hungryPart is how much less a step counts in which the shim wants to run: it may be the machine's fault that it
// does not get to an answer, and one that runs for ever without giving one is found out all the same.
const hungryPart = 10

// awake counts the time in which this process runs and the shim has had what it needs.
type awake struct {
	last time.Time
	ran  time.Duration
}

// step takes in that it runs now. A longer gap than two steps is one in which it did not.
func (a *awake) step(now time.Time, hungry bool) time.Duration {
	passed := min(now.Sub(a.last), 2*awakeStep)
	if hungry {
		passed /= hungryPart
	}
	a.ran += passed
	a.last = now
	return a.ran
}

func (l *Link) forget(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.waiting, id)
}
