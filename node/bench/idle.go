package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/node/client"
)

const (
	idleModel   = "bench-idle"
	idleSpare   = 500 // file descriptors that a process has open beside streams
	idleOpening = 64  // streams that are opened at a time
	idleLimit   = 60 * time.Second
	idlePace    = 20 * time.Second // between two tokens: within what a gateway waits for one
)

// An idling is what streams cost that say nothing.
type idling struct {
	streams int
	bare    float64 // KB of the pass-through's memory, per stream
	lota    float64
}

// idle holds many streams that have said one token and say no more, and looks at what
// memory the processes in between have grown by.
// The node's heap is written to heap, if that names a file.
func (p *parts) idle(ctx context.Context, streams int, heap string) (m idling, err error) {
	m.streams = min(streams, idleMost())
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	pass, pid, err := p.serve(self, "pass", "-upstream", p.quiet, "-connections", strconv.Itoa(m.streams))
	if err != nil {
		return m, err
	}
	wanted := map[string]any{"engine": "external", "options": map[string]string{"url": "http://" + p.quiet}, "replicas": 1, "slots": 2 * m.streams}
	if err := client.New(p.adminKey, "http://"+p.lota).Do(ctx, http.MethodPut, "/admin/v1/deployments/"+idleModel, wanted, nil); err != nil {
		return m, err
	}
	if m.bare, err = holdStreams(ctx, target{pass, idleModel, p.key}, m.streams, func() (int, error) { return resident(pid) }); err != nil {
		return m, fmt.Errorf("pass-through: %w", err)
	}
	m.lota, err = holdStreams(ctx, target{p.lota, idleModel, p.key}, m.streams, func() (int, error) {
		if err := p.fetch(ctx, "heap?gc=1", cmp.Or(heap, filepath.Join(p.dir, "heap"))); err != nil {
			return 0, err
		}
		return resident(p.nodePID)
	})
	return m, err
}

// idleMost is how many streams a process that stands in between may have: each is two
// of its files.
func idleMost() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max > 1<<30 {
		return 1 << 20
	}
	return (int(limit.Max) - idleSpare) / 2
}

// holdStreams opens n streams and returns by how many KB each has made size grow.
func holdStreams(ctx context.Context, t target, n int, size func() (int, error)) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, idleLimit)
	defer cancel()
	var one net.Conn
	var err error
	for one == nil { // the first has the way made
		if one, err = openStream(ctx, t); err != nil {
			select {
			case <-ctx.Done():
				return 0, err
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	defer one.Close()
	before, err := size()
	if err != nil {
		return 0, err
	}
	held, errs := make([]net.Conn, n), make([]error, idleOpening)
	defer func() {
		for _, c := range held {
			if c != nil {
				c.Close()
			}
		}
	}()
	var opening sync.WaitGroup
	for w := range idleOpening {
		opening.Go(func() {
			for i := w; i < n && errs[w] == nil; i += idleOpening {
				held[i], errs[w] = openStream(ctx, t)
			}
		})
	}
	opening.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	time.Sleep(2 * time.Second) // what opening them took is collected
	after, err := size()
	return float64(after-before) / float64(n) / 1024, err
}

// openStream returns a connection on which a stream has said its first token.
func openStream(ctx context.Context, t target) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	body := t.body(true)
	head := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", t.address, t.key, len(body))
	if _, err = c.Write(append([]byte(head), body...)); err == nil {
		in := bufio.NewReaderSize(c, 1024) // which is garbage once the token is there
		for line := []byte(nil); err == nil && !bytes.Contains(line, textMark); {
			line, err = in.ReadSlice('\n')
			if bytes.HasPrefix(line, []byte("HTTP/")) && !bytes.Contains(line, []byte(" 200 ")) {
				rest, _ := io.ReadAll(io.LimitReader(in, 600))
				err = fmt.Errorf("%s%s", line, rest)
			}
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// resident is how many bytes of memory the process has.
func resident(pid int) (int, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(raw)
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm has %q", pid, raw)
	}
	pages, err := strconv.Atoi(string(fields[1]))
	return pages * os.Getpagesize(), err
}

func (m idling) figures() []figure {
	return []figure{{"idle_stream_memory", m.lota, "KB", "<=", 16}}
}
