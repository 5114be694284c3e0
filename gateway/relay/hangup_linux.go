package relay

import (
	"os"
	"sync"
	"syscall"
)

// hangups has the kernel tell at once which clients close their connections, so that
// nobody has to look at ten thousand of them again and again. Each connection is in an
// epoll of our own beside the runtime's; data that comes on it wakes nobody.
type hangups struct {
	file *os.File // the epoll, in which the runtime's own poller waits
	raw  syscall.RawConn
	mu   struct {
		sync.Mutex
		by   map[int32]*watch
		last int32
	}
	ended chan struct{}
}

// newHangups returns nil where there is none to be had: then the sweeps look.
func newHangups() *hangups {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return nil
	}
	h := &hangups{file: os.NewFile(uintptr(fd), "hangups"), ended: make(chan struct{})}
	h.mu.by = map[int32]*watch{}
	if h.raw, err = h.file.SyscallConn(); err != nil {
		_ = h.file.Close()
		return nil
	}
	return h
}

// run calls left for each client that closes its connection, until close.
func (h *hangups) run(left func(*watch)) {
	defer close(h.ended)
	events := make([]syscall.EpollEvent, 128)
	for {
		n := 0
		err := h.raw.Read(func(fd uintptr) bool {
			var err error
			n, err = syscall.EpollWait(int(fd), events, 0)
			return n > 0 || (err != nil && err != syscall.EINTR)
		})
		if err != nil || n < 0 {
			return
		}
		for _, e := range events[:n] {
			h.mu.Lock()
			x := h.mu.by[e.Fd]
			h.mu.Unlock()
			if x != nil {
				left(x)
			}
		}
	}
}

// close ends run and waits for it.
func (h *hangups) close() {
	_ = h.file.Close()
	<-h.ended
}

// add begins to look after x's connection; false: it is closed, or cannot be looked after.
func (h *hangups) add(x *watch) bool {
	h.mu.Lock()
	for h.mu.last++; h.mu.last <= 0 || h.mu.by[h.mu.last] != nil; h.mu.last++ {
		h.mu.last = max(h.mu.last, 0)
	}
	x.mark = h.mu.last
	h.mu.by[x.mark] = x
	h.mu.Unlock()
	if h.control(x, syscall.EPOLL_CTL_ADD) {
		return true
	}
	h.remove(x)
	return false
}

// remove ends that. An event that is on its way already finds nobody.
func (h *hangups) remove(x *watch) {
	if x.mark == 0 {
		return
	}
	h.control(x, syscall.EPOLL_CTL_DEL) // one that is closed has gone by itself
	h.mu.Lock()
	delete(h.mu.by, x.mark)
	h.mu.Unlock()
	x.mark = 0
}

func (h *hangups) control(x *watch, op int) (ok bool) {
	conn, err := x.conn.SyscallConn()
	if err != nil {
		return false
	}
	err = conn.Control(func(fd uintptr) {
		_ = h.raw.Control(func(ep uintptr) {
			e := syscall.EpollEvent{Events: syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: x.mark}
			ok = syscall.EpollCtl(int(ep), op, int(fd), &e) == nil
		})
	})
	return err == nil && ok
}
