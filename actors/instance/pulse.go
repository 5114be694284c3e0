package instance

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/actors/engine"
)

// A pulse is what requests show of an engine's life: that pieces of answers come,
// and who waits for one. Whoever serves writes it, without a mailbox; the run that
// owns the engine reads it.
type pulse struct {
	pieces atomic.Uint64 // of answers that have come
	gap    atomic.Int64  // ns: the longest wait for a piece of late; see fade
	unread atomic.Int32  // streamed requests whose prompt has not been read
	others atomic.Uint64 // requests of others than canaries
	// streamed are the pieces of streamed answers, each a token with most engines, as far as their readers have counted.
	streamed atomic.Uint64
	canary   atomic.Pointer[context.CancelFunc]
	mu       struct {
		sync.Mutex
		first *question // of those that have not ended, in no order
		asked int       // how many those are
		pace  pace
	}
}

// A pace is how an engine has worked of late, told rather too slow.
type pace struct {
	bytes float64       // of requests' bodies, read per second; 0: not known
	token time.Duration // for one token of an answer, shared by the answers under way; 0: not known
	gap   time.Duration // the longest wait for a piece
	rough bool          // bytes and token are of the first request alone, which is slower than others
}

// A question is one request that the engine works on.
type question struct {
	began  time.Time
	size   int  // bytes
	stream bool // the answer comes piece by piece
	canary bool
	pieces atomic.Int32
	read   atomic.Bool // as far as it counts in pulse.unread
	asks   atomic.Bool // somebody waits for a piece now: no slow reader holds it up
	first  time.Time   // the reader's own

	// The pulse's lock guards these.
	body       []byte // that answer is still to be read from; nil: none is
	answer     int    // tokens at most; 0: not said
	prev, next *question
}

// readLater is the size up to which a body is looked at, for the length of its answer, only where the request is still
// under way when somebody wants to know; which holds up others.
const readLater = 64 << 10

// begin notes a request. One of somebody else's ends the canary's: it must not wait
// for that.
func (p *pulse) begin(q *question, body []byte, stream, canary bool) {
	q.began, q.size, q.canary, q.stream = time.Now(), len(body), canary, stream
	switch {
	case canary:
		q.answer = 1
	case len(body) > readLater:
		q.answer = mostTokens(body)
	default:
		q.body = body
	}
	q.asks.Store(true)
	if q.stream {
		p.unread.Add(1)
	}
	p.mu.Lock()
	if q.next = p.mu.first; q.next != nil {
		q.next.prev = q
	}
	p.mu.first = q
	p.mu.asked++
	p.mu.Unlock()
	if !canary {
		p.others.Add(1)
		if cancel := p.canary.Swap(nil); cancel != nil {
			(*cancel)()
		}
	}
}

func (p *pulse) end(q *question) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.next != nil {
		q.next.prev = q.prev
	}
	if q.prev != nil {
		q.prev.next = q.next
	} else {
		p.mu.first = q.next
	}
	q.prev, q.next, q.body = nil, nil, nil
	p.mu.asked--
	p.read(q)
}

// readAt is the piece with which the prompt has surely been read: some engines send
// the first at once.
const readAt = 2

// enough tokens of an answer tell the pace before its end does.
const enough = 16

// read notes that a prompt has been read, or never will be.
func (p *pulse) read(q *question) {
	if q.stream && q.read.CompareAndSwap(false, true) {
		p.unread.Add(-1)
	}
}

// piece notes that one has come, after a wait for it since then, which is known of those after readAt.
func (p *pulse) piece(q *question, since time.Time) {
	p.pieces.Add(1)
	n := q.pieces.Add(1)
	if n < readAt {
		return
	}
	switch now := time.Now(); {
	case n == readAt:
		q.first = now
		p.read(q)
		if q.stream {
			p.learnReading(q.size, now.Sub(q.began))
		}
	default:
		if n == readAt+enough && q.stream {
			p.learnTokens(enough, now.Sub(q.first))
		}
		if p.unread.Load() > 0 {
			return // the wait is explained by what is read meanwhile
		}
		wait := int64(now.Sub(since))
		for old := p.gap.Load(); wait > old && !p.gap.CompareAndSwap(old, wait); old = p.gap.Load() {
		}
	}
}

const (
	leastSize = 100  // bytes below which a body tells nothing of the speed of reading
	quicken   = 0.02 // a fast answer may owe it to a cache; a slow one is believed at once
)

func (p *pulse) learnReading(size int, took time.Duration) {
	if size < leastSize || took <= 0 {
		return
	}
	speed := float64(size) / took.Seconds()
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.mu.pace.bytes; old == 0 || speed < old || p.mu.pace.rough {
		p.mu.pace.bytes = speed
	} else {
		p.mu.pace.bytes += quicken * (speed - old)
	}
}

// capReading takes in the engine's own word on the tokens it reads per second: what
// a cache saved is not in it.
func (p *pulse) capReading(tokens float64) {
	const leastBytes = 2 // of a token, in texts that are hard to cut
	p.mu.Lock()
	defer p.mu.Unlock()
	if most := leastBytes * tokens; p.mu.pace.bytes > most {
		p.mu.pace.bytes = most
	}
}

// learnTokens takes in that so many tokens took so long.
func (p *pulse) learnTokens(n int, took time.Duration) {
	if n <= 0 || took <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	each := took / time.Duration(n*max(p.mu.asked, 1))
	if old := p.mu.pace.token; each > old || p.mu.pace.rough {
		p.mu.pace.token = each
	} else {
		p.mu.pace.token -= time.Duration(quicken * float64(old-each))
	}
	p.mu.pace.rough = false // the tokens of an answer come after its reading
}

// learnFirst takes in how long the first request took.
func (p *pulse) learnFirst(size int, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.pace = pace{bytes: float64(size) / max(took, time.Microsecond).Seconds(), token: took, rough: true}
}

// fade forgets half of the longest wait each half, of which d has passed.
func (p *pulse) fade(d, half time.Duration) {
	old := p.gap.Load()
	p.gap.CompareAndSwap(old, old-int64(float64(old)*min(1, float64(d)/float64(half)*0.7)))
}

// look sums up what has not ended. It is called many times a second, so it leaves nothing behind.
func (p *pulse) look(now time.Time) (crowd, pace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var c crowd
	for q := p.mu.first; q != nil; q = q.next {
		if q.body != nil { // most end before anybody looks
			q.answer, q.body = mostTokens(q.body), nil
		}
		c.count(q, now)
	}
	pace := p.mu.pace
	pace.gap = time.Duration(p.gap.Load())
	return c, pace
}

// A monitored engine is an engine whose requests show in a pulse.
type monitored struct {
	engine.Engine
	pulse *pulse
}

// Streamed implements engine.Streams.
func (m *monitored) Streamed() *atomic.Uint64 { return &m.pulse.streamed }

// Unwrap returns the engine itself, for what not all engines can.
func (m *monitored) Unwrap() engine.Engine { return m.Engine }

// Do implements engine.Engine.
func (m *monitored) Do(ctx context.Context, path string, head engine.Head, body []byte) (*http.Response, error) {
	return m.do(ctx, path, head, body, false)
}

func (m *monitored) do(ctx context.Context, path string, head engine.Head, body []byte, canary bool) (*http.Response, error) {
	a := &answer{pulse: m.pulse}
	q := &a.question
	m.pulse.begin(q, body, head.Stream, canary)
	resp, err := m.Engine.Do(ctx, path, head, body)
	q.asks.Store(false)
	if err != nil {
		m.pulse.end(q)
		return nil, err
	}
	a.ReadCloser, resp.Body = resp.Body, a
	return resp, nil
}

// An answer is a response's body; one goroutine reads it, Close may come from any.
type answer struct {
	io.ReadCloser
	pulse    *pulse
	question question
	ended    atomic.Bool
}

func (a *answer) Read(b []byte) (int, error) {
	q, since := &a.question, time.Time{}
	if q.pieces.Load() >= readAt {
		since = time.Now()
	}
	q.asks.Store(true)
	n, err := a.ReadCloser.Read(b)
	q.asks.Store(false)
	if n > 0 {
		a.pulse.piece(q, since)
	}
	if err == io.EOF && q.stream && q.pieces.Load() > readAt+enough {
		a.pulse.learnTokens(int(q.pieces.Load())-readAt, time.Since(q.first))
	}
	if err != nil {
		a.end()
	}
	return n, err
}

func (a *answer) Close() error {
	a.end()
	return a.ReadCloser.Close()
}

func (a *answer) end() {
	if !a.ended.Swap(true) {
		a.pulse.end(&a.question)
	}
}
