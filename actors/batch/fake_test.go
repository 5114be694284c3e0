package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// An engine on virtual time: a call takes some time for itself and some for each input.
// Its vectors tell the input. It refuses inputs that say so, and calls of more than most.
type fake struct {
	mu       sync.Mutex
	slots    int
	running  int
	calls    []*spec.Call
	sizes    []int
	perCall  time.Duration
	most     int  // inputs of a call; 0: any number
	strange  bool // answers to several have no parts
	counts   bool // tells the tokens of each input
	err      error
	reserved []spec.Reservation
	ended    int // calls that were cancelled
}

func (f *fake) open(ctx context.Context, target spec.Target, call *spec.Call, body []byte) (spec.Stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	if f.slots > 0 && f.running >= f.slots {
		return nil, &spec.Rejection{Reason: spec.RejectBusy, RetryAfter: time.Millisecond}
	}
	r, ok := Parse(body)
	if !ok {
		return nil, errors.New("what is this?")
	}
	f.calls, f.sizes = append(f.calls, call), append(f.sizes, len(r.inputs))
	f.running++
	f.mu.Unlock()
	late := time.NewTimer(f.perCall)
	defer late.Stop()
	select {
	case <-late.C:
	case <-ctx.Done():
	}
	f.mu.Lock()
	f.running--
	if ctx.Err() != nil {
		f.ended++
		return nil, ctx.Err()
	}
	return f.answer(r), nil
}

func (f *fake) answer(r *Request) *answered {
	refuse := func(status int, text string) *answered {
		return &answered{status: status, kind: "application/json", body: []byte(`{"error":{"message":"` + text + `"}}`)}
	}
	if f.most > 0 && len(r.inputs) > f.most {
		return refuse(413, "too many")
	}
	var rows []map[string]any
	var counts []int
	tokens := 0
	for i, in := range r.inputs {
		var text string
		_ = json.Unmarshal(in, &text)
		if strings.HasPrefix(text, "bad") {
			return refuse(400, "too long: "+text[:4])
		}
		if strings.HasPrefix(text, "worse") {
			return refuse(500, "input is too large")
		}
		rows = append(rows, map[string]any{"index": i, "object": "embedding", "embedding": string(in)})
		counts = append(counts, len(in))
		tokens += len(in)
	}
	usage := map[string]any{"prompt_tokens": tokens, "total_tokens": tokens}
	if f.counts {
		usage[TokenCounts] = counts
	}
	if f.strange && len(rows) > 1 {
		rows = rows[1:]
	}
	for i, j := 0, len(rows)-1; i < j; i, j = i+1, j-1 { // an order of its own
		rows[i], rows[j] = rows[j], rows[i]
	}
	body, _ := json.Marshal(map[string]any{"object": "list", "model": "m", "data": rows, "usage": usage})
	return &answered{status: 200, kind: "application/json", body: body}
}

func (f *fake) reserve(_ spec.DeviceID, r spec.Reservation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reserved = append(f.reserved, r)
}

// told is the last reservation.
func (f *fake) told() spec.Reservation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reserved[len(f.reserved)-1]
}

func (f *fake) batcher(t *testing.T) *Batcher {
	t.Helper()
	b := New(Config{Open: f.open, Reserve: f.reserve})
	t.Cleanup(b.Close)
	return b
}

var (
	usual = Limits{Inputs: 64, Tokens: 1 << 20, Calls: 1, Callers: 256}
	where = spec.Target{Node: "n", Device: "d", Instance: "i"}
)

// An asked is what became of one request.
type asked struct {
	status int
	got    []string // vectors, in order
	usage  map[string]int
	text   string
	held   time.Duration
	err    error
}

func ask(ctx context.Context, b *Batcher, l Limits, call spec.Call, body string) (out asked) {
	r, ok := Parse([]byte(body))
	if !ok {
		return asked{err: errors.New("no request: " + body)}
	}
	s, err := b.Serve(ctx, where, &call, r, l)
	if err != nil {
		return asked{err: err}
	}
	defer s.Close()
	raw, err := io.ReadAll(s)
	out = asked{status: s.Status(), text: string(raw), err: err}
	out.held, _ = s.(spec.Timed).Held()
	var answer struct {
		Data []struct {
			Index     int
			Embedding string
		}
		Usage map[string]int
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		out.err = err
	}
	for i, row := range answer.Data {
		if row.Index != i {
			out.err = fmt.Errorf("row %d says %d", i, row.Index)
		}
		out.got = append(out.got, row.Embedding)
	}
	out.usage = answer.Usage
	return out
}

func request(text string) string {
	raw, _ := json.Marshal(map[string]any{"model": "m", "input": text})
	return string(raw)
}

// together asks for n texts at once, the first ones a little before.
func together(b *Batcher, l Limits, n int, text func(i int) string, bend func(i int, c *spec.Call)) []asked {
	out := make([]asked, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			c := spec.Call{RequestID: fmt.Sprint("r", i), Deployment: "d", Path: "/v1/embeddings", PromptTokens: 5, Tenant: fmt.Sprint(i % 3)}
			if bend != nil {
				bend(i, &c)
			}
			out[i] = ask(context.Background(), b, l, c, request(text(i)))
		})
		if i < 4 && bend != nil || i == 0 {
			synctest.Wait()
		}
	}
	wait.Wait()
	return out
}

func plain(i int) string { return fmt.Sprintf("text %d%s", i, strings.Repeat(".", i%7)) }

func mustServe(t *testing.T, i int, a asked, text string) {
	t.Helper()
	want, _ := json.Marshal(text)
	if a.err != nil || a.status != 200 || len(a.got) != 1 || a.got[0] != string(want) {
		t.Errorf("request %d: %+v", i, a)
	}
}
