package relay

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// anything is what an instance may do with a request.
func anything(r *rand.Rand, node spec.NodeID, stream bool) play {
	switch r.IntN(12) {
	case 0:
		return play{err: errConnect}
	case 1:
		return rejects([]string{spec.RejectBusy, spec.RejectDraining, spec.RejectStale, spec.RejectNotLoaded}[r.IntN(4)])
	case 2:
		return says([]int{400, 429, 500, 503}[r.IntN(4)], "no")
	case 3:
		return play{panics: true}
	}
	if !stream {
		return play{status: 200, kind: "application/json", pieces: []any{pause(r), `{"by":"` + string(node) + `"`, maybe(r, errBroke, ""), "}"}}
	}
	pieces := []any{pause(r)}
	n := r.IntN(6)
	for i := range n {
		text := piece(fmt.Sprintf("%s%d", node, i))
		cut := r.IntN(len(text))
		pieces = append(pieces, text[:cut], maybe(r, errBroke, ""), text[cut:], pause(r))
	}
	switch r.IntN(8) {
	case 0: // ends without a word
	case 1:
		pieces = append(pieces, "data: {\"error\":{}}\n\n", errBroke)
	case 2:
		pieces = append(pieces, done, errBroke)
	default:
		pieces = append(pieces, done)
	}
	return streams(pieces...)
}

func maybe(r *rand.Rand, yes, no any) any {
	if r.IntN(20) == 0 {
		return yes
	}
	return no
}

func pause(r *rand.Rand) time.Duration { return time.Duration(r.IntN(3)) * time.Millisecond }

var said = regexp.MustCompile(`"content":"([a-z])(\d+)"`)

// TestOneEnding sends many requests at once to nodes that do anything, for
// clients of whom some leave. Each request has to end in exactly one way, tell
// nothing twice, mix nobody's answers, and give everything back.
func TestOneEnding(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	b := newBench(t, "a b c", func(c *Config) {
		c.FirstByte, c.Between, c.Whole, c.PingAfter = time.Second, time.Second, time.Second, 3*time.Millisecond
	})
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 0))
	b.compose = func(n spec.NodeID, c spec.Call) play {
		mu.Lock()
		defer mu.Unlock()
		return anything(dice, n, c.Stream)
	}
	stop, telling := make(chan struct{}), sync.WaitGroup{}
	telling.Go(func() { // what is shunned comes back
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				b.tell()
			}
		}
	})
	var clients sync.WaitGroup
	for w := range 8 {
		clients.Go(func() {
			mine := rand.New(rand.NewPCG(seed, uint64(w+1)))
			for i := range 60 {
				b.checkEnding(fmt.Sprintf("r-%d-%d", w, i), mine.IntN(4) > 0, mine.IntN(8) == 0, pause(mine))
			}
		})
	}
	clients.Wait()
	close(stop)
	telling.Wait()
	eventually(t, "no stream is open", func() bool { return b.streamsOpen() == 0 })
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, outcomes := range b.mu.of {
		if len(outcomes) != 1 {
			t.Errorf("%s: outcomes %+v", id, outcomes)
		}
	}
}

// checkEnding sends a request, and holds what came against its outcome.
func (b *bench) checkEnding(id string, stream, leaves bool, after time.Duration) {
	t := b.t
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	if leaves {
		time.AfterFunc(after, leave)
	}
	status, body := 0, ""
	res, failed := b.ask(ctx, stream, "X-Request-Id", id)
	if failed == nil {
		raw, err := io.ReadAll(res.Body)
		res.Body.Close()
		status, body, failed = res.StatusCode, string(raw), err
	}
	if leaves && failed != nil {
		return // it may have left before anything began
	}
	eventually(t, id+" has an outcome", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.mu.of[id]) > 0 })
	b.mu.Lock()
	o := b.mu.of[id][0]
	b.mu.Unlock()
	switch {
	case failed != nil:
		t.Errorf("%s: %v after %q", id, failed, body)
	case leaves && o.Gone:
	case o.Gone:
		t.Errorf("%s: its client is said to have left", id)
	case status != 200: // an engine's own words, or the gateway's; a panic is answered with nothing
		if ours := body == "" || strings.Contains(body, id); ours != (o.Err != nil) {
			t.Errorf("%s: %d %q, outcome %+v", id, status, body, o)
		}
	case !stream:
		if o.Err != nil || !strings.HasSuffix(body, `"}`) {
			t.Errorf("%s: %q, outcome %+v", id, body, o)
		}
	default:
		checkStream(t, id, body, o)
	}
}

func checkStream(t testing.TB, id, body string, o Outcome) {
	dones, errors := strings.Count(body, "[DONE]"), strings.Count(body, `{"error":`)
	if dones+errors != 1 || (o.Err == nil) != (dones == 1) {
		t.Errorf("%s: %d whole ends and %d errors in %q, outcome %+v", id, dones, errors, body, o)
	}
	for i, m := range said.FindAllStringSubmatch(body, -1) {
		if m[1] != string(o.Node) || m[2] != fmt.Sprint(i) {
			t.Errorf("%s: piece %d is %s%s, and %s served: %q", id, i, m[1], m[2], o.Node, body)
		}
	}
}
