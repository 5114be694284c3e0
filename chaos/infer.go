package chaos

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// patience bounds one request. It is longer than any limit of the gateway on a
// silent engine, so that the gateway has to end it first.
const patience = 75 * time.Second

// A question is what a client asks of a model, and the answer that a sound
// cluster gives; an empty answer is not compared.
type question struct {
	model  string
	prompt string
	tokens int
	stream bool
	answer string
}

func (q question) body() []byte {
	raw, err := json.Marshal(map[string]any{
		"model": q.model, "stream": q.stream, "temperature": 0, "max_tokens": q.tokens,
		"messages": []map[string]string{{"role": "user", "content": q.prompt}},
	})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return raw
}

// newHTTP returns a client that never retries: each request has a connection of its own
// making, so that a broken one is never mistaken for a stale one.
func newHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
	}}
}

// keepingHTTP keeps its connections, so that what a request takes is the node's part of it.
func keepingHTTP(nodes int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConns: 4 * nodes, MaxIdleConnsPerHost: 4, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
	}}
}

// infer asks a question of the node and writes down how it ended.
func infer(ctx context.Context, h *History, web *http.Client, n node, q question, client int) Op {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o := Op{Op: OpInfer, Client: client, Node: n.ID, Model: q.model, Request: "chaos-" + rand.Text(), Begin: h.Now()}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.API+"/v1/chat/completions", bytes.NewReader(q.body()))
	if err != nil {
		panic(err) // the URL is a node's
	}
	request.Header.Set("Authorization", "Bearer "+n.key)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Request-Id", o.Request)
	e := func() ending {
		answer, err := web.Do(request)
		if err != nil {
			return ending{result: missed(err), detail: err.Error()}
		}
		defer answer.Body.Close()
		o.Served = answer.Header.Get("X-LotaBots-Node")
		o.Attempts, _ = strconv.Atoi(answer.Header.Get("X-LotaBots-Attempts"))
		switch {
		case answer.StatusCode != http.StatusOK:
			p := readProblem(answer.Body)
			return ending{result: HTTPError, code: p.Code, detail: strconv.Itoa(answer.StatusCode) + " " + p.Message}
		case q.stream:
			return readStream(answer.Body)
		}
		return readWhole(answer.Body)
	}()
	o.End = h.Now()
	o.Result, o.Code, o.Detail = e.result, e.code, e.detail
	if e.attempts > 0 {
		o.Served, o.Attempts = e.served, e.attempts
	}
	if ctx.Err() != nil && o.Result != Complete {
		o.Result = TimedOut
	}
	if q.answer != "" {
		o.compare(e.text, q.answer)
	}
	return o
}

// compare holds what came against the whole answer.
func (o *Op) compare(got, want string) {
	switch {
	case o.Result == Complete && got != want:
		o.Result, o.Detail = Garbled, "got "+clip(strconv.Quote(got))+", want "+clip(strconv.Quote(want))
	case o.Result != Complete && !strings.HasPrefix(want, got):
		o.Result, o.Detail = Garbled, "before its end ("+o.Result+") came "+clip(strconv.Quote(got))
	}
}

// missed tells a connection that never came about from one that died.
func missed(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return NoConnect
	}
	return Broken
}

// expected is the mock engine's answer of n tokens.
func expected(n int) string {
	var b strings.Builder
	for i := range min(n, math.MaxInt16) {
		b.WriteString(" t" + strconv.Itoa(i))
	}
	return b.String()
}
