package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/node/client"
)

const (
	idleModel   = "bench-idle"
	idleSpare   = 500 // file descriptors that a process has open beside streams
	idleOpening = 64  // streams that are opened at a time
	idleLimit   = 100 * time.Second
	idlePace    = 28 * time.Second // between two tokens: within what a gateway waits for one, and none comes while memory is read
	idleWarm    = 1500 * time.Millisecond

	settleEvery = 500 * time.Millisecond
	settleQuiet = 11 * time.Second // a node looks every five whether it was quiet since, and gives back then what a burst has left
	settleMost  = 15 * time.Second
	settled     = 100 // parts of which less than one is no change
)

// An idling is what streams cost that say nothing.
type idling struct {
	streams int
	bare    holding // of the pass-through
	lota    holding
}

// A holding is what a process has of memory, or has more of for a stream.
type holding struct {
	resident float64 // bytes
	used     float64 // of the node's heap after a collection, and of its stacks; 0: it cannot be told
	spare    float64 // resident in its heap, and not used: what comes next takes none of the system's before that is full
}

// strict is what a stream takes, had there been nothing to spare before.
func (h holding) strict() float64 { return h.resident - min(0, h.spare) }

// idle holds many streams that have said one token and say no more, and looks at what
// memory the processes in between have grown by. The node is a fresh one, which has had a
// burst of streams and no other load before.
// The node's heap is written to heap, if that names a file.
func (p *parts) idle(ctx context.Context, binary string, streams int, heap string) (m idling, err error) {
	node, err := p.beside(ctx, binary)
	if err != nil {
		return m, err
	}
	defer node.stop()
	if _, err := streamLoop(ctx, node.ways()[lota].fast, manyConnections, idleWarm); err != nil {
		return m, err
	}
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
	if err := client.New(node.adminKey, "http://"+node.lota).Do(ctx, http.MethodPut, "/admin/v1/deployments/"+idleModel, wanted, nil); err != nil {
		return m, err
	}
	if m.bare, err = holdStreams(ctx, target{pass, idleModel, p.key}, m.streams, func() (h holding, err error) {
		h.resident, err = settledResident(ctx, pid)
		return h, err
	}); err != nil {
		return m, fmt.Errorf("pass-through: %w", err)
	}
	m.lota, err = holdStreams(ctx, target{node.lota, idleModel, node.key}, m.streams, func() (h holding, err error) {
		if _, err = profileFrom(ctx, node.nodeData, "heap?gc=1"); err != nil { // what opening them took is collected
			return h, err
		}
		if h.resident, err = settledResident(ctx, node.nodePID); err != nil {
			return h, err
		}
		if heap != "" {
			if err := node.fetch(ctx, "heap?gc=1", heap); err != nil {
				return h, err
			}
		}
		told, err := profileFrom(ctx, node.nodeData, "heap?gc=1&debug=1")
		h.used, h.spare = heapIn(told)
		return h, err
	})
	return m, err
}

// heapIn reads what is used of the heap and of stacks, and what is spare, out of a heap's profile as text.
func heapIn(profile []byte) (used, spare float64) {
	of := map[string]float64{}
	for line := range strings.Lines(string(profile)) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "# "), " = ")
		value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		of[name], _ = strconv.ParseFloat(value, 64)
	}
	return of["HeapInuse"] + of["Stack"], of["HeapIdle"] - of["HeapReleased"]
}

// settledResident is resident once it has not changed for a while, or has not settled for long.
func settledResident(ctx context.Context, pid int) (float64, error) {
	began := time.Now()
	last, err := resident(pid)
	for since := began; err == nil && time.Since(since) < settleQuiet && time.Since(began) < settleMost; {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(settleEvery):
		}
		var now int
		if now, err = resident(pid); max(now-last, last-now)*settled > last {
			since, last = time.Now(), now
		}
	}
	return float64(last), err
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

// holdStreams opens n streams and returns by how much each has made size grow.
func holdStreams(ctx context.Context, t target, n int, size func() (holding, error)) (grown holding, err error) {
	ctx, cancel := context.WithTimeout(ctx, idleLimit)
	defer cancel()
	var one net.Conn
	for one == nil { // the first has the way made
		if one, err = openStream(ctx, t); err != nil {
			select {
			case <-ctx.Done():
				return grown, err
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	defer one.Close()
	before, err := size()
	if err != nil {
		return grown, err
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
		return grown, err
	}
	after, err := size()
	each := func(after, before float64) float64 { return (after - before) / float64(n) }
	return holding{each(after.resident, before.resident), each(after.used, before.used), each(after.spare, before.spare)}, err
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
	return []figure{{"idle_stream_memory", m.lota.resident / 1024, "KB", "<=", 16}}
}
