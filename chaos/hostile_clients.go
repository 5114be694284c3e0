package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// What hostile clients do.
const (
	attackIdle    = "idle connections"
	attackReaders = "slow readers"
	attackWhole   = "slow readers of whole answers"
	attackWriters = "slow writers"
	attackHeads   = "slow headers"
	attackHeaders = "header flood"
	attackBodies  = "1 GB bodies"
	attackChunked = "1 GB bodies, chunked"
	attackDeep    = "JSON 100,000 deep"
	attackWide    = "JSON of many values"
)

// attack begins all of them; they end with ctx.
func (h *hostile) attack(ctx context.Context, all *sync.WaitGroup) {
	for i := range idlers {
		all.Go(func() { h.idle(ctx, (h.c.Idle+i)/idlers) })
	}
	for i := range h.c.Slow {
		all.Go(func() { h.slowReader(ctx) })
		if i%2 == 0 {
			all.Go(func() { h.slowly(ctx, attackWriters, h.head(1<<20), "x") })
		} else {
			all.Go(func() { h.slowly(ctx, attackHeads, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX: ", "x") })
		}
	}
	deep, many := strings.Repeat("[", 100_000), strings.Repeat("1,", 8<<20)
	for range h.wholes() {
		all.Go(func() { h.slowWhole(ctx) })
	}
	for range h.c.Floods {
		all.Go(func() {
			h.again(ctx, attackHeaders, "GET /v1/models HTTP/1.1\r\n", "X-Flood: "+strings.Repeat("y", 1000)+"\r\n", 1<<20)
		})
		all.Go(func() { h.again(ctx, attackBodies, h.head(1<<30), strings.Repeat(" ", 64<<10), 1<<30) })
		all.Go(func() { h.chunked(ctx, h.again) })
		all.Go(func() {
			body := `{"model":"` + mockModel + `","messages":` + deep
			h.again(ctx, attackDeep, h.head(len(body))+body, "", 0)
		})
	}
	for range max(1, h.c.Floods/5) {
		all.Go(func() {
			body := `{"model":"` + mockModel + `","messages":[` + many + `1]}`
			h.again(ctx, attackWide, h.head(len(body))+body, "", 0)
		})
	}
}

// head is a request's, with a good key.
func (h *hostile) head(length int) string {
	return fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		h.k.nodes[0].key, length)
}

func (h *hostile) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", h.at)
}

// told counts an answer, or that none came.
func (h *hostile) told(kind, what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.report.Told[kind] == nil {
		h.report.Told[kind] = map[string]int{}
	}
	h.report.Told[kind][what]++
}

// idlers is how many open idle connections at a time.
const idlers = 10

// idle opens so many connections and leaves them; every second one asked for something first.
func (h *hostile) idle(ctx context.Context, n int) {
	var open []net.Conn
	for i := 0; i < n && ctx.Err() == nil; i++ {
		c, err := h.dial(ctx)
		if err != nil {
			h.told(attackIdle, "not let in: "+err.Error())
			i--
			continue
		}
		open = append(open, c)
		if i%2 == 0 {
			_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		sleep(ctx, 2*time.Millisecond)
	}
	<-ctx.Done()
	held := 0
	for _, c := range open {
		if stillOpen(c) {
			held++
		}
		_ = c.Close()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.report.Opened += len(open)
	h.report.Idle += held
}

// stillOpen reads what has come; it tells whether the other side has closed nothing.
func stillOpen(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := io.Copy(io.Discard, c)
	timeout := net.Error(nil)
	return errors.As(err, &timeout) && timeout.Timeout()
}

// slowReader asks for a stream and takes a byte of it now and then.
func (h *hostile) slowReader(ctx context.Context) {
	c, err := h.dial(ctx)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	body := `{"model":"` + floodModel + `","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	_, _ = io.WriteString(c, h.head(len(body))+body)
	one := make([]byte, 1)
	for {
		if _, err := c.Read(one); err != nil {
			h.told(attackReaders, "cut off")
			return
		}
		if !sleep(ctx, 500*time.Millisecond) {
			h.mu.Lock()
			h.report.Readers++
			h.mu.Unlock()
			return
		}
	}
}

// wholes is how many take whole answers slowly.
func (h *hostile) wholes() int { return 2 * h.c.Floods }

// slowWhole asks for answers in one piece, each large, and hardly takes them.
func (h *hostile) slowWhole(ctx context.Context) {
	for sleep(ctx, 200*time.Millisecond) {
		c, err := h.dial(ctx)
		if err != nil {
			continue
		}
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		body := `{"model":"` + floodModel + `","messages":[{"role":"user","content":"hi"}]}`
		_, _ = io.WriteString(c, h.head(len(body))+body)
		r, err := http.ReadResponse(bufio.NewReaderSize(c, 1<<10), nil)
		switch {
		case err != nil:
			h.told(attackWhole, "no answer")
		case r.StatusCode != http.StatusOK:
			h.told(attackWhole, saidBy(r))
			sleep(ctx, 2*time.Second) // what it asks for costs the engine, which is this process
		default:
			for err == nil && sleep(ctx, 500*time.Millisecond) {
				_, err = io.CopyN(io.Discard, r.Body, 100)
			}
			if ctx.Err() == nil {
				h.told(attackWhole, "200, cut off")
			}
		}
		stop()
		_ = c.Close()
	}
}

// slowly sends a piece now and then until it is answered.
func (h *hostile) slowly(ctx context.Context, kind, head, piece string) {
	c, err := h.dial(ctx)
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, head)
	answered := make(chan string, 1)
	go func() { answered <- answer(c) }()
	for {
		select {
		case what := <-answered:
			h.told(kind, what)
			return
		case <-ctx.Done():
			c.Close()
			<-answered
			return
		case <-time.After(500 * time.Millisecond):
			_, _ = io.WriteString(c, piece)
		}
	}
}

// again sends head and then piece after piece, up to so many bytes, until it is
// answered; and begins anew.
func (h *hostile) again(ctx context.Context, kind, head, piece string, most int) {
	for sleep(ctx, 200*time.Millisecond) {
		h.once(ctx, kind, head, piece, most)
	}
}

// once sends the head and, until it is answered, pieces of most bytes in all.
func (h *hostile) once(ctx context.Context, kind, head, piece string, most int) {
	c, err := h.dial(ctx)
	if err != nil {
		return
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	answered := make(chan string, 1)
	go func() { answered <- answer(c) }()
	_, err = io.WriteString(c, head)
	for sent := 0; err == nil && sent < most && len(answered) == 0; sent += len(piece) {
		_, err = io.WriteString(c, piece)
	}
	what := <-answered
	if stop(); ctx.Err() == nil {
		h.told(kind, what)
	}
}

// chunked sends a body of unknown length that is larger than any may be.
func (h *hostile) chunked(ctx context.Context, send func(ctx context.Context, kind, head, piece string, most int)) {
	head := strings.Replace(h.head(0), "Content-Length: 0", "Transfer-Encoding: chunked", 1)
	send(ctx, attackChunked, head, "10000\r\n"+strings.Repeat(" ", 64<<10)+"\r\n", 1<<30)
}

// answer reads one: its status and code, or how the connection ended.
func answer(c net.Conn) string {
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Minute))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "no answer"
	}
	return saidBy(r)
}

// saidBy is an answer's status and code.
func saidBy(r *http.Response) string {
	defer r.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	var e struct {
		Error struct {
			Code string `json:"code"`
			Hint string `json:"hint"`
		} `json:"error"`
	}
	if json.Unmarshal(raw, &e) != nil || e.Error.Code == "" {
		return fmt.Sprintf("%d without an error that programs understand", r.StatusCode)
	}
	return fmt.Sprintf("%d %s", r.StatusCode, e.Error.Code)
}
