package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A LeavingConfig is a measurement of how soon the work for a client ends that has left.
type LeavingConfig struct {
	Binary string // the lotabots executable
	Times  int    // that a client leaves, in each case; default 100
	Out    io.Writer
}

// A LeavingReport has the times from a client's close of its connection, by case:
// "running, streamed", "running, whole", "queued, streamed", "queued, whole". Those of
// running requests are until the engine decodes nothing any more, those of queued ones
// until the gateway has ended them, by its ledger.
type LeavingReport struct {
	Times map[string][]time.Duration
	Polls map[string]time.Duration // longest time between two looks: how coarse the times of running requests are
}

// LeavingCases are the cases, in their order.
var LeavingCases = []string{"running, streamed", "running, whole", "queued, streamed", "queued, whole"}

const leavingModel = "leaving"

// Leaving measures on a cluster of its own: clients speak to the gateway of one node,
// and the embedded engine runs on another one, with one place.
func Leaving(ctx context.Context, c LeavingConfig) (report *LeavingReport, err error) {
	if c.Times == 0 {
		c.Times = 100
	}
	whole, err := Config{Seed: 1, Binary: c.Binary, Nodes: 2, Faults: []Kind{Kill}, Out: c.Out}.withDefaults()
	if err != nil {
		return nil, err
	}
	k, err := startCluster(ctx, whole, "http://127.0.0.1:9")
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, k.stop())
		k.remove()
	}()
	m := &leaving{k: k, report: &LeavingReport{Times: map[string][]time.Duration{}, Polls: map[string]time.Duration{}}}
	if err := m.prepare(ctx); err != nil {
		return nil, err
	}
	for _, name := range LeavingCases {
		for left := 0; left < c.Times; {
			ok, err := m.sample(ctx, name, strings.HasPrefix(name, "queued"), strings.HasSuffix(name, "streamed"))
			if err != nil {
				return m.report, fmt.Errorf("%s: %w", name, err)
			}
			if ok {
				left++
			}
		}
	}
	return m.report, ctx.Err()
}

type leaving struct {
	k      *cluster
	engine *http.Client
	web    *http.Client
	report *LeavingReport
	asked  int
	at     time.Time // when the last request ended that had waited
}

// prepare deploys the model on the second node alone.
func (m *leaving) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	far := m.k.nodes[1]
	want := map[string]any{"engine": "embedded", "model": m.k.model, "regions": []string{far.Region}, "slots": 1, "context": 1024,
		"options": map[string]string{"threads": "1"}} // a GPU leaves the processors to gateways and clients
	if err := m.k.client().Do(ctx, http.MethodPut, "/admin/v1/deployments/"+leavingModel, want, nil); err != nil {
		return err
	}
	for {
		var v view
		err := m.k.client().Do(ctx, http.MethodGet, "/admin/v1/status", nil, &v)
		if err == nil && v.ready()[leavingModel] == 1 {
			break
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("the model is not ready: %w", errors.Join(err, ctx.Err()))
		}
	}
	found, err := filepath.Glob(filepath.Join(far.Data, "engines", leavingModel+"-*.d", "home", "s"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("%d sockets of engines, %w", len(found), errors.Join(err, os.ErrNotExist))
	}
	m.engine = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", found[0])
		}}}
	m.web = keepingHTTP(1)
	return nil
}

// long is a request whose answer takes the engine some hundred milliseconds at least.
func long(stream bool) string {
	schema := `{"type":"array","minItems":1000,"items":{"type":"array","minItems":1000,"items":{"type":"integer"}}}`
	return fmt.Sprintf(`{"model":%q,"stream":%v,"max_tokens":1000,"temperature":1,"messages":[{"role":"user","content":"x%d"}],`+
		`"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":%s}}}`, leavingModel, stream, rand.IntN(10), schema)
}

// client sends a long request on a connection of its own, under an id; close it to leave.
func (m *leaving) client(stream bool, id string) (net.Conn, error) {
	at, err := url.Parse(m.k.nodes[0].API)
	if err != nil {
		return nil, err
	}
	c, err := net.DialTimeout("tcp", at.Host, 5*time.Second)
	if err != nil {
		return nil, err
	}
	body := long(stream)
	_, err = fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		id, m.k.nodes[0].key, len(body), body)
	go func() { _, _ = io.Copy(io.Discard, c) }() // ends with the connection
	return c, err
}

// sample has one client leave; false: the request had ended by itself, or did not begin.
func (m *leaving) sample(ctx context.Context, name string, queued, stream bool) (bool, error) {
	if _, err := m.until(ctx, name, m.idle, 5*time.Second); err != nil {
		return false, fmt.Errorf("the engine does not come to rest: %w", err)
	}
	rest, err := m.load(ctx)
	if err != nil {
		return false, err
	}
	m.asked++
	id := fmt.Sprintf("leaving-%d", m.asked)
	first, err := m.client(stream || queued, id+"-first")
	if err != nil {
		return false, err
	}
	defer first.Close()
	if _, err := m.until(ctx, name, m.busy, 5*time.Second); err != nil {
		return false, nil
	}
	leaves, gone := first, m.idle
	if queued {
		if leaves, err = m.client(stream, id); err != nil {
			return false, err
		}
		defer leaves.Close()
		if _, err := m.until(ctx, name, m.waits, 300*time.Millisecond); err != nil {
			return false, nil // the engine was done before
		}
		gone = m.ended(id)
	}
	time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
	began := time.Now()
	_ = leaves.Close()
	at, err := m.until(ctx, name, gone, 5*time.Second)
	if err != nil {
		return false, fmt.Errorf("the work goes on 5 s after the client has left: %w", err)
	}
	if cut, err := m.cutShort(ctx, rest, queued); err != nil || !cut {
		return false, err
	}
	if queued {
		at = m.at
	}
	m.report.Times[name] = append(m.report.Times[name], at.Sub(began))
	return true, nil
}

// until asks again and again; it returns when the first yes came.
func (m *leaving) until(ctx context.Context, name string, ask func(context.Context) (bool, error), limit time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for last := time.Now(); ; {
		asked := time.Now()
		yes, err := ask(ctx)
		now := time.Now()
		m.report.Polls[name] = max(m.report.Polls[name], now.Sub(last))
		last = now
		if yes && err == nil {
			return now, nil
		}
		if !sleep(ctx, max(time.Millisecond, now.Sub(asked))) { // a look takes the processors that it is to find idle
			return now, errors.Join(err, ctx.Err())
		}
	}
}

// engineLoad is what the engine tells of itself.
type engineLoad struct {
	Running int `json:"running"`
	Totals  struct {
		Generated int `json:"generated_tokens"`
	} `json:"totals"`
}

func (m *leaving) load(ctx context.Context) (l engineLoad, err error) {
	raw, err := get(ctx, m.engine, "http://engine/load")
	if err != nil {
		return l, err
	}
	return l, json.Unmarshal(raw, &l)
}

func (m *leaving) idle(ctx context.Context) (bool, error) {
	l, err := m.load(ctx)
	return l.Running == 0, err
}

func (m *leaving) busy(ctx context.Context) (bool, error) {
	l, err := m.load(ctx)
	return l.Running == 1, err
}

var waiting = regexp.MustCompile(`lotabots_gateway_deployment_queue_requests\{deployment="` + leavingModel + `"\} (\d+)`)

func (m *leaving) queue(ctx context.Context) (int, error) {
	raw, err := get(ctx, m.web, m.k.nodes[0].API+"/metrics")
	if err != nil {
		return 0, err
	}
	found := waiting.FindSubmatch(raw)
	if found == nil {
		return 0, nil
	}
	return strconv.Atoi(string(found[1]))
}

func (m *leaving) waits(ctx context.Context) (bool, error) {
	n, err := m.queue(ctx)
	return n == 1, err
}

// ended asks the ledger for a request whose client has left, and notes when it ended.
func (m *leaving) ended(id string) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		var found struct {
			Data []struct {
				At int64 `json:"at_ms"`
			} `json:"data"`
		}
		err := m.k.client().Do(ctx, http.MethodGet, "/admin/v1/usage/records?outcome=gone&request="+id, nil, &found)
		if err != nil || len(found.Data) == 0 {
			return false, err
		}
		m.at = time.UnixMilli(found.Data[0].At + 1) // it is a whole number
		return true, nil
	}
}

// cutShort tells whether the request was ended before its time: for one that waited,
// that the one before it is still served.
func (m *leaving) cutShort(ctx context.Context, rest engineLoad, queued bool) (bool, error) {
	l, err := m.load(ctx)
	if err != nil {
		return false, err
	}
	if queued {
		return l.Running == 1, nil
	}
	return l.Totals.Generated-rest.Totals.Generated < 900, nil
}

func get(ctx context.Context, web *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := web.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}
