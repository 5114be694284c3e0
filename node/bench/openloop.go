package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// An offer is requests of one kind that come at random, whatever becomes of those before.
type offer struct {
	key    string
	tokens int     // of each answer
	rate   float64 // requests/s
}

// A stage is a part of a run, in which so many times the offers' rates come.
type stage struct {
	length time.Duration
	scale  float64
}

// An answer is what became of one request.
type answer struct {
	offer  int
	sent   time.Duration // since the run began
	ended  time.Duration
	status int // 0: none came
	waits  int // seconds, of Retry-After
}

func (a answer) ok() bool            { return a.status == fasthttp.StatusOK }
func (a answer) took() time.Duration { return a.ended - a.sent }

// openLoop sends the offers' requests through the stages, and waits for all answers.
func openLoop(ctx context.Context, address, model string, offers []offer, stages []stage) []answer {
	client := &fasthttp.Client{MaxConnsPerHost: 16 << 10, MaxIdleConnDuration: time.Minute}
	defer client.CloseIdleConnections()
	began := time.Now()
	parts := make([]record, len(offers))
	var sending sync.WaitGroup
	for i, o := range offers {
		sending.Go(func() {
			body := question(model, o.tokens)
			var flying sync.WaitGroup
			for at := range arrivals(o.rate, stages) {
				select {
				case <-ctx.Done():
				case <-time.After(time.Until(began.Add(at))):
				}
				if ctx.Err() != nil {
					break
				}
				flying.Go(func() {
					a := answer{offer: i, sent: time.Since(began)}
					a.status, a.waits = ask(client, address, o.key, body)
					a.ended = time.Since(began)
					parts[i].add(a)
				})
			}
			flying.Wait()
		})
	}
	sending.Wait()
	var all []answer
	for i := range parts {
		all = append(all, parts[i].all...)
	}
	return all
}

// saturate has n always under way, and returns how many are served in a second.
func saturate(ctx context.Context, t target, body []byte, n int, length time.Duration) float64 {
	client := &fasthttp.Client{MaxConnsPerHost: n}
	defer client.CloseIdleConnections()
	var served atomic.Int64
	began := time.Now()
	var working sync.WaitGroup
	for range n {
		working.Go(func() {
			for time.Since(began) < length && ctx.Err() == nil {
				if status, _ := ask(client, t.address, t.key, body); status == fasthttp.StatusOK {
					served.Add(1)
				}
			}
		})
	}
	working.Wait()
	return float64(served.Load()) / time.Since(began).Seconds()
}

type record struct {
	sync.Mutex
	all []answer
}

func (r *record) add(a answer) {
	r.Lock()
	defer r.Unlock()
	r.all = append(r.all, a)
}

// arrivals are the times at which requests come, at random, so many in a second on average.
func arrivals(rate float64, stages []stage) func(yield func(time.Duration) bool) {
	return func(yield func(time.Duration) bool) {
		var from time.Duration
		for _, s := range stages {
			at, end := from, from+s.length
			for s.scale > 0 {
				if at += time.Duration(rand.ExpFloat64() / (rate * s.scale) * float64(time.Second)); at >= end {
					break
				}
				if !yield(at) {
					return
				}
			}
			from = end
		}
	}
}

// question is a short chat whose answer has so many tokens.
func question(model string, tokens int) []byte {
	raw, err := json.Marshal(map[string]any{"model": model, "max_tokens": tokens,
		"messages": []map[string]string{{"role": "user", "content": "Which node should answer?"}}})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return raw
}

func ask(client *fasthttp.Client, address, key string, body []byte) (status, waits int) {
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	req.Header.SetMethod(fasthttp.MethodPost)
	req.SetRequestURI("http://" + address + "/v1/chat/completions")
	req.Header.SetContentType("application/json")
	req.Header.Set("Authorization", "Bearer "+key)
	req.SetBodyRaw(body)
	if client.DoTimeout(req, res, 2*patience) != nil {
		return 0, 0
	}
	waits, _ = fasthttp.ParseUint(res.Header.Peek("Retry-After"))
	return res.StatusCode(), waits
}
