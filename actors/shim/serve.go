package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// What a shim finds open when it starts.
const (
	lockFile  = 3 // the room's directory, locked
	firstConn = 4 // a connection to who has started it
)

// A server is a shim. Its loop owns the state; connections speak to it by channels.
type server struct {
	machine machine
	room    string
	conns   map[int]*conn
	last    int // number of the newest connection
	note    []byte
	out     *output
	process *process // nil: not launched

	questions chan question
	closed    chan int // a connection has ended
	accepted  chan *net.UnixConn
	quitting  bool
}

// A question is a request that a connection has read.
type question struct {
	conn int
	request
	refused *answer // not nil: it was not understood
}

// IfAsked makes a shim of a process that Start has started, and ends with it. It is for programs that
// have no command for it, such as tests, which name themselves as Options.Program.
func IfAsked() {
	if os.Getenv(inside) == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := Run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Run is the shim: it returns when there is no engine any more, and nothing is left of it. ctx ends at
// SIGTERM, which ends the engine.
func Run(ctx context.Context) error {
	for _, fd := range []int{lockFile, firstConn} {
		syscall.CloseOnExec(fd)
	}
	lock := os.NewFile(lockFile, "room")
	defer lock.Close()
	first, err := inherited(firstConn)
	if err != nil {
		return fmt.Errorf("a shim is started by a node alone: %w", err)
	}
	room, err := os.Getwd()
	if err != nil {
		return err
	}
	adopt()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socketName}) // a relative path: never too long
	if err != nil {
		return err
	}
	_ = os.Chmod(socketName, 0o600)
	s := &server{room: room, machine: machine{holder: 1}, // which add gives the first
		conns: map[int]*conn{}, questions: make(chan question), closed: make(chan int), accepted: make(chan *net.UnixConn)}
	ending := make(chan struct{})
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		s.listen(listener, ending)
	}()
	s.add(first)
	s.loop(ctx)
	s.leave()
	close(ending)
	_ = listener.Close()
	<-listening
	s.hangUp()
	return nil
}

func inherited(fd uintptr) (*net.UnixConn, error) {
	f := os.NewFile(fd, "claim")
	if f == nil {
		return nil, errors.New("there is no first connection")
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("the first connection is no Unix socket")
	}
	return u, nil
}

// listen hands over connections of our own user's processes.
func (s *server) listen(l *net.UnixListener, ending <-chan struct{}) {
	for {
		c, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of files, say
			select {
			case <-ending:
				return
			case <-time.After(100 * time.Millisecond):
				continue
			}
		}
		if uid, _, err := peerOf(c); err != nil || uid != ownUID() && uid != 0 {
			_ = c.Close()
			continue
		}
		select {
		case s.accepted <- c:
		case <-ending:
			_ = c.Close()
			return
		}
	}
}

func ownUID() int { return os.Getuid() }

const maxConns = 32

// loop runs until the machine says so.
func (s *server) loop(ctx context.Context) {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)
	asked := ctx.Done()
	for !s.quitting {
		var gone <-chan struct{}
		engine := 0
		if s.process != nil {
			gone, engine = s.process.done, s.process.cmd.Process.Pid
		}
		timer := s.timer()
		select {
		case q := <-s.questions:
			s.answer(q)
		case id := <-s.closed:
			s.conns[id].end()
			delete(s.conns, id)
			s.do(s.machine.lost(time.Now(), id))
		case c := <-s.accepted:
			s.add(c)
		case <-timer.C:
			s.do(s.machine.tick(time.Now()))
		case <-children:
			reapAdopted(engine)
		case <-asked:
			asked = nil
			s.do(s.machine.stop(time.Now(), s.machine.claim.grace(), "the shim was told to end"))
		case <-gone:
			s.do(s.machine.exited())
		}
		timer.Stop()
	}
}

// timer fires when the machine has something to do.
func (s *server) timer() *time.Timer {
	if s.machine.due.IsZero() {
		return time.NewTimer(maxWait)
	}
	return time.NewTimer(time.Until(s.machine.due))
}

func (s *server) do(e effect) {
	switch e {
	case term:
		s.process.term()
	case kill:
		s.process.kill()
	case quit:
		s.quitting = true
	}
}

func (s *server) add(c *net.UnixConn) {
	if len(s.conns) >= maxConns {
		_ = c.Close()
		return
	}
	s.last++
	s.conns[s.last] = serveConn(s.last, c, s.questions, s.closed)
}

// leave empties the room and tells everybody that the engine is gone.
func (s *server) leave() {
	e := &Ending{Why: s.machine.why, How: "no engine was started"}
	if s.process != nil {
		e.How = s.process.how
	}
	if s.out != nil {
		e.Tail = s.out.last()
		s.out.close()
	}
	_ = os.RemoveAll(s.room) // what remains, the next node's tidying removes
	for _, c := range s.conns {
		c.tell(answer{V: Version, Event: eventEnded, Ended: e})
	}
}

// hangUp ends the connections once they have said what they had to.
func (s *server) hangUp() {
	for _, c := range s.conns {
		c.end()
	}
	for len(s.conns) > 0 {
		select {
		case id := <-s.closed:
			delete(s.conns, id)
		case <-s.questions: // nobody answers any more
		}
	}
}

// launch starts the engine.
func (s *server) launch(r request) *refusal {
	out, err := openOutput(r.Launch.Log)
	if err != nil {
		return refuse(codeStart, "%v", err)
	}
	known := record{Boot: bootID()}
	group := newCgroup(filepath.Base(s.room))
	if group != nil {
		known.Cgroup = group.path
	}
	if err := known.write(s.room); err != nil {
		group.remove()
		out.close()
		return refuse(codeStart, "%v", err)
	}
	p, err := startProcess(r.Launch, out, group)
	if err != nil && group != nil { // a kernel or a container that lets nobody be born in one
		group.remove()
		known.Cgroup = ""
		p, err = startProcess(r.Launch, out, nil)
	}
	if err != nil {
		out.close()
		return refuse(codeStart, "%v", err)
	}
	s.process, s.out, s.note = p, out, r.Note
	s.machine.launched()
	known.PID = p.cmd.Process.Pid
	if st, ok := statOf(known.PID); ok {
		known.Start = st.start
	}
	if err := known.write(s.room); err != nil {
		_, _ = fmt.Fprintln(out, "lotabots engine-shim: the engine's number could not be kept:", err)
	}
	return nil
}
