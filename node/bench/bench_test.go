package main

import (
	"bytes"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/chaos/mockengine"
)

func TestCPUIn(t *testing.T) {
	const stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 12 0 100 1 2"
	if got := cpuIn(stat); got != (spent{cpu: 2 * time.Second, kernel: 500 * time.Millisecond}) {
		t.Errorf("got %v, want 2s", got)
	}
	for _, bad := range []string{"", "1 (x) S", strings.Replace(stat, "150", "x", 1)} {
		if got := cpuIn(bad); got != (spent{}) {
			t.Errorf("%q: %v", bad, got)
		}
	}
	for sum := 0; spentBy(os.Getpid()).cpu == 0; sum++ {
		_ = math.Sqrt(float64(sum))
	}
	time.Sleep(time.Millisecond)
	if spentBy(0) != (spent{}) || spentBy(os.Getpid()).switches == 0 {
		t.Error("no process has computed, or this one has never waited")
	}
	if got := computedIn([]byte("1500000000 7 42\n")); got != 1500*time.Millisecond {
		t.Errorf("got %v, want 1.5s", got)
	}
	if got := switchesIn([]byte("Name:\tx\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n")); got != 150 {
		t.Errorf("got %d switches, want 150", got)
	}
}

func TestHeapIn(t *testing.T) {
	const profile = "heap profile: 1: 2 [3: 4] @ heap/524288\n\n# runtime.MemStats\n# HeapSys = 100\n# HeapIdle = 30\n# HeapReleased = 12\n# HeapInuse = 70\n# Stack = 30 / 90\n# MSpan = 5 / 6\n"
	if used, spare := heapIn([]byte(profile)); used != 100 || spare != 18 {
		t.Errorf("%v are used and %v spare, want 100 and 18", used, spare)
	}
	if used, spare := heapIn([]byte("no profile")); used != 0 || spare != 0 {
		t.Errorf("%v are used and %v spare of nothing", used, spare)
	}
	if less, more := (holding{resident: 10, spare: -2}).strict(), (holding{resident: 10, spare: 2}).strict(); less != 12 || more != 10 {
		t.Errorf("%v and %v, want 12 and 10", less, more)
	}
}

func TestFigures(t *testing.T) {
	ms := time.Millisecond
	b := result{{rate: 1000, cpu: 10, alone: ms, chunks: 100, firstToken: 10 * ms}, {rate: 2000, cpu: 10, alone: ms, chunks: 100, firstToken: 10 * ms}, {rate: 4000, cpu: 10, alone: ms, chunks: 100, firstToken: 10 * ms}}
	l := result{{rate: 700, cpu: 20, alone: 2 * ms, chunks: 95, firstToken: 11 * ms, lag: ms}, {rate: 1400, cpu: 20, alone: 2 * ms, chunks: 95, firstToken: 11 * ms, lag: ms}, {rate: 400, cpu: 20, alone: 2 * ms, chunks: 95, firstToken: 11 * ms, lag: ms}}
	d := result{{firstToken: 10 * ms}, {firstToken: 10 * ms}, {firstToken: 10 * ms}}
	got := figures(d, b, l)
	want := []string{
		"figure: requests_per_second_ratio 0.700 x goal >= 0.6",
		"figure: cpu_per_request_ratio 2.000 x goal <= 1.7 (missed)",
		"figure: p50_added 1.000 ms goal <= 0.1 (missed)",
		"figure: stream_pieces_per_second_ratio 0.950 x goal >= 0.9",
		"figure: first_token_ratio 0.909 x goal >= 0.9",
		"figure: first_token_added 1.000 ms goal <= 1",
		"figure: token_added 1.000 ms goal <= 0.5 (missed)",
	}
	for i, f := range got {
		if f.String() != want[i] {
			t.Errorf("got  %s\nwant %s", f, want[i])
		}
	}
	var out bytes.Buffer
	table(&out, []way{{name: "direct"}, {name: "bare"}, {name: "LotaBots"}}, []result{d, b, l})
	if !strings.Contains(out.String(), "2000") || !strings.Contains(out.String(), "LotaBots") {
		t.Errorf("table:\n%s", out.String())
	}
}

func TestReadingAStream(t *testing.T) {
	token := `data: {"choices":[{"delta":{"content":" t"}}]}` + "\n\n"
	whole := strings.Repeat(token, streamTokens) + `data: {"choices":[{"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
	began := time.Unix(100, 0)
	at := began
	clock := func() time.Time { at = at.Add(pacedInterval); return at } // the engine's pace exactly
	var s streamed
	if err := s.read(strings.NewReader(whole), began, clock); err != nil {
		t.Fatal(err)
	}
	if s.pieces != streamTokens || len(s.first) != 1 || s.first[0] != pacedInterval || quantile(s.late, 1) != 0 {
		t.Errorf("got %+v", s)
	}
	for name, bad := range map[string]string{
		"cut off": token, "empty": "", "too short": token + "data: [DONE]\n\n", "too long": token + whole,
	} {
		if err := s.read(strings.NewReader(bad), began, clock); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestLoops drives the generator against the engine and the pass-through.
func TestLoops(t *testing.T) {
	engine := httptest.NewServer(mockengine.New(mockengine.Config{Tokens: streamTokens, Forget: true}))
	defer engine.Close()
	address := strings.TrimPrefix(engine.URL, "http://")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pass := &fasthttp.Server{Handler: passThrough(address, 16), NoDefaultServerHeader: true}
	go func() { _ = pass.Serve(l) }()
	defer pass.Shutdown()
	for _, to := range []string{address, l.Addr().String()} {
		p50, n, err := closedLoop(t.Context(), target{to, "m", "k"}, 3, 50*time.Millisecond)
		if err != nil || n < 3 || p50 <= 0 {
			t.Errorf("%d answers, %v, %v", n, p50, err)
		}
		s, err := streamLoop(t.Context(), target{to, "m", "k"}, 3, 50*time.Millisecond)
		if err != nil || s.pieces < streamTokens || s.pieces%streamTokens != 0 {
			t.Errorf("%d pieces, %v", s.pieces, err)
		}
	}
}

func TestErrorsEndALoop(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "full", http.StatusTooManyRequests) }))
	defer s.Close()
	to := target{strings.TrimPrefix(s.URL, "http://"), "m", "k"}
	if _, _, err := closedLoop(t.Context(), to, 1, time.Second); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("got %v", err)
	}
	if _, err := streamLoop(t.Context(), to, 1, time.Second); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("got %v", err)
	}
}
