package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lotabots/lotabots/chaos/mockengine"
)

// A HostileConfig is an attack on one node of a cluster of its own, over loopback. It
// has an end, and takes no more of the machine than is said here.
type HostileConfig struct {
	Binary       string
	Idle         int           // connections that say nothing more; default 10,000
	Slow         int           // readers of streams, and as many writers, that hardly move; default 200
	Floods       int           // connections, for each kind, that send headers without end, 1 GB bodies, or JSON 100,000 deep; default 20
	Alone, Beset time.Duration // in which ordinary requests are measured, without and with the attack; default 10 s and 75 s
	Out          io.Writer
}

// A HostileReport is what came of it.
type HostileReport struct {
	Alone, Beset        []time.Duration           // ordinary requests' times
	Failed              []string                  // of ordinary requests
	MemoryAt, MemoryMax int64                     // the node's resident bytes before, and at most
	Told                map[string]map[string]int // by kind of attack, the answers that its clients got
	Opened              int                       // idle connections
	Idle, Readers       int                       // idle connections, and readers of streams, that were there at the end
	Recovered           time.Duration             // until the node had as few connections as before, once they left
}

// ordinary is how many clients ask, one request after the other.
const ordinary = 8

// Hostile attacks one node.
func Hostile(ctx context.Context, c HostileConfig) (report *HostileReport, err error) {
	for n, or := range map[*int]int{&c.Idle: 10_000, &c.Slow: 200, &c.Floods: 20} {
		if *n == 0 {
			*n = or
		}
	}
	for d, or := range map[*time.Duration]time.Duration{&c.Alone: 10 * time.Second, &c.Beset: 75 * time.Second} {
		if *d == 0 {
			*d = or
		}
	}
	h := &hostile{c: c, report: &HostileReport{Told: map[string]map[string]int{}}}
	mock, err := serveLocal(mockengine.New(mockengine.Config{Model: mockModel, Tokens: 8, Interval: 2 * time.Millisecond, Forget: true}))
	if err != nil {
		return nil, err
	}
	defer mock.close()
	flood, err := serveLocal(http.HandlerFunc(endless))
	if err != nil {
		return nil, err
	}
	defer flood.close()
	whole, err := Config{Seed: 1, Binary: c.Binary, Nodes: 1, Engine: "none", Faults: []Kind{Kill}, Out: c.Out,
		Env: []string{"LOTABOTS_ENGINES_EXTERNAL_URLS=" + mock.url + "," + flood.url}}.withDefaults()
	if err != nil {
		return nil, err
	}
	if h.k, err = startCluster(ctx, whole, mock.url); err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, h.k.stop())
		h.k.remove()
	}()
	if err := h.prepare(ctx, mock.url, flood.url); err != nil {
		return nil, err
	}
	return h.report, h.run(ctx)
}

// A local is an HTTP server on loopback.
type local struct {
	url    string
	server *http.Server
	done   chan struct{}
}

func serveLocal(handler http.Handler) (*local, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &local{url: "http://" + ln.Addr().String(), server: &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		_ = l.server.Serve(ln)
	}()
	return l, nil
}

func (l *local) close() {
	_ = l.server.Close()
	<-l.done
}

// wholeSize is that of an answer in one piece of the flooding engine.
const wholeSize = 16 << 20

// endless is an engine whose streams go as fast as they are taken, and never end; an
// answer in one piece is a large one.
func endless(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		_, _ = io.WriteString(w, `{"data":[]}`)
		return
	}
	if asked, _ := io.ReadAll(r.Body); !strings.Contains(string(asked), `"stream":true`) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"`+strings.Repeat("x", wholeSize)+`"}}]}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	event := []byte(`data: {"choices":[{"delta":{"content":"` + strings.Repeat("x", 32<<10) + `"}}]}` + "\n\n")
	for r.Context().Err() == nil {
		if _, err := w.Write(event); err != nil {
			return
		}
	}
}

const floodModel = "endless"

// hostile is an attack on its way.
type hostile struct {
	c      HostileConfig
	k      *cluster
	at     string // host:port of the node's API
	pid    int
	report *HostileReport
	mu     sync.Mutex // of the report
}

func (h *hostile) prepare(ctx context.Context, mock, flood string) error {
	ctx, cancel := context.WithTimeout(ctx, deployLimit)
	defer cancel()
	for name, wanted := range map[string]map[string]any{
		mockModel:  {"engine": "external", "options": map[string]string{"url": mock}, "slots": 64},
		floodModel: {"engine": "external", "options": map[string]string{"url": flood}, "slots": h.c.Slow + h.wholes()},
	} {
		if err := h.k.client().Do(ctx, http.MethodPut, "/admin/v1/deployments/"+name, wanted, nil); err != nil {
			return err
		}
	}
	for {
		var v view
		err := h.k.client().Do(ctx, http.MethodGet, "/admin/v1/status", nil, &v)
		if err == nil && v.ready()[mockModel] == 1 && v.ready()[floodModel] == 1 {
			break
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("the engines are not ready: %w", errors.Join(err, ctx.Err()))
		}
	}
	api, err := url.Parse(h.k.nodes[0].API)
	if err != nil {
		return err
	}
	h.at = api.Host
	h.pid, err = h.k.pid(0)
	return err
}

// run measures ordinary requests alone, and then beside all attacks at once.
func (h *hostile) run(ctx context.Context) error {
	fmt.Fprintf(h.out(), "ordinary requests alone, for %v\n", h.c.Alone)
	h.report.Alone = h.ordinary(ctx, h.c.Alone)
	h.report.MemoryAt = resident(h.pid)
	before := openFiles(h.pid)
	h.chunked(ctx, h.once) // while there is room for as much of it as tells its size
	beset, end := context.WithTimeout(ctx, h.c.Beset)
	defer end()
	var attacks sync.WaitGroup
	h.attack(beset, &attacks)
	attacks.Go(func() {
		for sleep(beset, 100*time.Millisecond) {
			h.report.MemoryMax = max(h.report.MemoryMax, resident(h.pid))
		}
	})
	fmt.Fprintf(h.out(), "beside the attacks, for %v\n", h.c.Beset)
	h.report.Beset = h.ordinary(beset, h.c.Beset)
	end()
	attacks.Wait()
	left := time.Now()
	for openFiles(h.pid) > before+20 {
		if time.Since(left) > 30*time.Second || !sleep(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%d files are open 30 s after the attackers left, %d were before", openFiles(h.pid), before)
		}
	}
	h.report.Recovered = time.Since(left)
	return ctx.Err()
}

func (h *hostile) out() io.Writer {
	if h.c.Out == nil {
		return io.Discard
	}
	return h.c.Out
}

// ordinary has some clients ask for a while; it returns what each request took.
func (h *hostile) ordinary(ctx context.Context, d time.Duration) []time.Duration {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var clients sync.WaitGroup
	var mu sync.Mutex
	var times []time.Duration
	for range ordinary {
		clients.Go(func() {
			web := keepingHTTP(1)
			defer web.CloseIdleConnections()
			for ctx.Err() == nil {
				began := time.Now()
				what := h.ask(ctx, web)
				took := time.Since(began)
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				if times = append(times, took); what != "" {
					h.report.Failed = append(h.report.Failed, what)
				}
				mu.Unlock()
				sleep(ctx, 5*time.Millisecond)
			}
		})
	}
	clients.Wait()
	return times
}

// ask makes an ordinary request; what it returns is what was wrong.
func (h *hostile) ask(ctx context.Context, web *http.Client) string {
	body := `{"model":"` + mockModel + `","max_tokens":8,"messages":[{"role":"user","content":"hi"}]}`
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.at+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Authorization", "Bearer "+h.k.nodes[0].key)
	request.Header.Set("Content-Type", "application/json")
	answer, err := web.Do(request)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Sprintf("status %d, %v: %.200s", answer.StatusCode, err, raw)
	}
	return ""
}

// resident is the process's memory in bytes; 0 where it cannot be told.
func resident(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// openFiles counts the process's; a great many where it cannot be told.
func openFiles(pid int) int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return math.MaxInt
	}
	return len(list)
}
