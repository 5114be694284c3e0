//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos/mockengine"
)

// A weight is what a node takes when nothing is asked of it. The tables that its store has open are no
// files of it: how many there are follows from what is stored, within the store's own bound.
type weight struct{ goroutines, files, heap, resident int }

func (f weight) String() string {
	return fmt.Sprintf("%d goroutines, %d open files, %.1f MB of live heap, %.1f MB resident", f.goroutines, f.files, float64(f.heap)/1e6, float64(f.resident)/1e6)
}

// TestSoak: a node under load takes no more of anything when it is over than after a
// short load before. LOTABOTS_SOAK=1h makes the load as long.
func TestSoak(t *testing.T) {
	length := 6 * time.Second
	if long := os.Getenv("LOTABOTS_SOAK"); long != "" {
		var err error
		if length, err = time.ParseDuration(long); err != nil {
			t.Fatal(err)
		}
	}
	mock := serveMock(t, mockengine.New(mockengine.Config{Model: "soak", Tokens: 12, Forget: true}))
	c := startCluster(t, []string{"LOTABOTS_ENGINES_EXTERNAL_URLS=" + mock}, "--nodes", "1", "--engine", "external", "--engine-url", mock)
	c.await(time.Minute, "the instance is ready", func() bool { return c.readyInstances() >= 1 })
	_, _ = c.soak(2 * time.Second)
	before := c.settled(weight{})
	requests, failed := int64(0), int64(0)
	parts := max(1, min(6, int(length/time.Minute)))
	after := before
	for part := range parts { // what is in between tells growth from what a longer load settles at
		n, f := c.soak(length / time.Duration(parts))
		requests, failed = requests+n, failed+f
		after = c.settled(before)
		t.Logf("before %v\nafter %d requests, part %d of %d of %v: %v", before, requests, part+1, parts, length, after)
	}
	if failed > requests/100 {
		t.Errorf("%d of %d requests failed", failed, requests)
	}
	if requests < 100 {
		t.Fatalf("%d requests show nothing", requests)
	}
	if after.goroutines > before.goroutines+10 || after.files > before.files+10 || after.heap > before.heap+before.heap/4+8<<20 {
		t.Error("the node has grown")
	}
}

// soak asks for whole answers and streams, leaves some before their end, and asks for
// what is refused, until the time is over; it returns how many requests that were, and how many of them
// the node was too busy for or failed at (5xx): anything else that is not as it should be fails the test.
func (c *cluster) soak(length time.Duration) (requests, failures int64) {
	ctx, cancel := context.WithTimeout(c.t.Context(), length)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport}
	var count, failed atomic.Int64
	var working sync.WaitGroup
	for range 16 {
		working.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				status, err := c.soakOnce(ctx, web, i)
				switch {
				case err == nil || ctx.Err() != nil:
				case status >= 500:
					failed.Add(1)
					time.Sleep(100 * time.Millisecond)
				default:
					c.t.Error(err)
					return
				}
				count.Add(1)
			}
		})
	}
	working.Wait()
	return count.Load(), failed.Load()
}

// soakOnce returns the status where there is one.
func (c *cluster) soakOnce(ctx context.Context, web *http.Client, i int) (status int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	model, key, want := c.file.Deployment, c.file.AdminKey, 200
	switch i % 16 {
	case 13:
		model, want = "none", 404
	case 14:
		key, want = "", 401
	}
	body := fmt.Sprintf(`{"model":%q,"stream":%v,"messages":[{"role":"user","content":"hi"}]}`, model, i%2 == 1)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.file.Nodes[0].API+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	answer, err := web.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != want {
		raw, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, fmt.Errorf("status %d, want %d: %s", answer.StatusCode, want, raw)
	}
	if i%16 == 15 { // a stream that is left
		_, err = answer.Body.Read(make([]byte, 100))
		return answer.StatusCode, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

// settled waits until the node is down to what it took before, or as long as kept
// connections may stay.
func (c *cluster) settled(before weight) weight {
	now := c.weigh()
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); now = c.weigh() {
		if before.files > 0 && now.goroutines <= before.goroutines && now.files <= before.files && now.heap <= before.heap {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	return now
}

// weigh asks the first node over its local socket, after a collection.
func (c *cluster) weigh() weight {
	n := c.file.Nodes[0]
	web := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(n.Data, "ops.sock"))
	}}}
	defer web.CloseIdleConnections()
	ask := func(what string) []byte {
		answer, err := web.Get("http://ops/debug/pprof/" + what)
		if err != nil {
			c.t.Fatal(err)
		}
		defer answer.Body.Close()
		raw, err := io.ReadAll(answer.Body)
		if err != nil {
			c.t.Fatal(err)
		}
		return raw
	}
	number := func(raw []byte, mark string) int {
		for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
			if rest, ok := strings.CutPrefix(lines.Text(), mark); ok {
				if v, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil {
					return v
				}
			}
		}
		c.t.Fatalf("there is no %q", mark)
		return 0
	}
	f := weight{heap: number(ask("heap?gc=1&debug=1"), "# HeapAlloc = "), goroutines: number(ask("goroutine?debug=1"), "goroutine profile: total ")}
	proc := filepath.Join("/proc", strconv.Itoa(n.PID))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		c.t.Fatal(err)
	}
	statm, err := os.ReadFile(filepath.Join(proc, "statm"))
	if err != nil {
		c.t.Fatal(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(statm))[1])
	for _, file := range files {
		if to, err := os.Readlink(filepath.Join(proc, "fd", file.Name())); err == nil && !strings.HasSuffix(to, ".sst") {
			f.files++
		}
	}
	f.resident = pages * os.Getpagesize()
	return f
}
