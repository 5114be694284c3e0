package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// patience bounds one request.
const patience = 10 * time.Second

// body is the request: a chat of usual size for a short question.
func (t target) body(stream bool) []byte {
	raw, err := json.Marshal(map[string]any{
		"model": t.model, "stream": stream, "temperature": 0.2, "max_tokens": 256,
		"messages": []map[string]string{
			{"role": "system", "content": "You are a helpful assistant. Answer in one short paragraph, and say so where you are not sure."},
			{"role": "user", "content": "Which of the nodes of a cluster should answer a request, if several have the model loaded?"},
		},
	})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return raw
}

// A connection is one client connection and the request that it repeats.
type connection struct {
	client   *fasthttp.HostClient
	request  *fasthttp.Request
	response *fasthttp.Response
}

func (t target) connect(stream bool) *connection {
	c := &connection{client: &fasthttp.HostClient{Addr: t.address, MaxConns: 1, StreamResponseBody: stream}, request: &fasthttp.Request{}, response: &fasthttp.Response{}}
	c.request.Header.SetMethod(fasthttp.MethodPost)
	c.request.SetRequestURI("http://" + t.address + "/v1/chat/completions")
	c.request.Header.SetContentType("application/json")
	c.request.Header.Set("Authorization", "Bearer "+t.key)
	c.request.SetBody(t.body(stream))
	return c
}

func (c *connection) close() { c.client.CloseIdleConnections() }

// send sends the request once; every answer but 200 is an error.
func (c *connection) send() error {
	if err := c.client.DoTimeout(c.request, c.response, patience); err != nil {
		return err
	}
	if code := c.response.StatusCode(); code != fasthttp.StatusOK {
		return fmt.Errorf("status %d: %.300s", code, c.response.Body())
	}
	return nil
}

// closedLoop sends requests over n connections, each its next one when the last
// was answered, and returns the median time and the number of answers.
func closedLoop(ctx context.Context, t target, n int, length time.Duration) (time.Duration, int, error) {
	all, err := closedLoops(ctx, t, n, length)
	return quantile(all, 0.5), len(all), err
}

// closedLoops is closedLoop with the time that each request took.
func closedLoops(ctx context.Context, t target, n int, length time.Duration) ([]time.Duration, error) {
	took, errs := make([][]time.Duration, n), make([]error, n)
	end := time.Now().Add(length)
	var working sync.WaitGroup
	for i := range n {
		working.Go(func() {
			c := t.connect(false)
			defer c.close()
			for now := time.Now(); now.Before(end) && ctx.Err() == nil; {
				if errs[i] = c.send(); errs[i] != nil {
					return
				}
				after := time.Now()
				took[i] = append(took[i], after.Sub(now))
				now = after
			}
		})
	}
	working.Wait()
	var all []time.Duration
	for _, part := range took {
		all = append(all, part...)
	}
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("no request was answered")
	}
	return all, nil
}

// streamed is what several streams were like.
type streamed struct {
	pieces int
	first  []time.Duration // from the request to the first token
	late   []time.Duration // of later tokens: how long after the engine's pace
}

// streamLoop reads streams over n connections.
func streamLoop(ctx context.Context, t target, n int, length time.Duration) (streamed, error) {
	parts, errs := make([]streamed, n), make([]error, n)
	end := time.Now().Add(length)
	var working sync.WaitGroup
	for i := range n {
		working.Go(func() {
			c := t.connect(true)
			defer c.close()
			for time.Now().Before(end) && ctx.Err() == nil && errs[i] == nil {
				errs[i] = c.stream(&parts[i])
			}
		})
	}
	working.Wait()
	var all streamed
	for _, p := range parts {
		all.pieces += p.pieces
		all.first, all.late = append(all.first, p.first...), append(all.late, p.late...)
	}
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return all, err
	}
	if all.pieces == 0 || len(all.first) == 0 {
		return all, errors.New("no stream was read to its end")
	}
	return all, nil
}

// stream sends the request and reads its answer to [DONE].
func (c *connection) stream(into *streamed) error {
	began := time.Now()
	if err := c.client.DoTimeout(c.request, c.response, patience); err != nil {
		return err
	}
	defer func() { _ = c.response.CloseBodyStream() }()
	if code := c.response.StatusCode(); code != fasthttp.StatusOK {
		raw, _ := io.ReadAll(io.LimitReader(c.response.BodyStream(), 300))
		return fmt.Errorf("status %d: %s", code, raw)
	}
	return into.read(c.response.BodyStream(), began, time.Now)
}

var (
	dataPrefix = []byte("data: ")
	doneMark   = []byte("[DONE]")
	textMark   = []byte(`"content":`)
)

// read reads one stream of tokens, which the engine makes at its pace.
func (s *streamed) read(body io.Reader, began time.Time, now func() time.Time) error {
	lines := bufio.NewReader(body)
	var tokens int
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("the stream ended after %d tokens without [DONE]: %w", tokens, err)
		}
		data, ok := bytes.CutPrefix(bytes.TrimRight(line, "\r\n"), dataPrefix)
		switch {
		case !ok:
			continue
		case bytes.Equal(data, doneMark):
			if tokens != streamTokens {
				return fmt.Errorf("%d tokens came of %d", tokens, streamTokens)
			}
			_, err := io.Copy(io.Discard, lines)
			return err
		case !bytes.Contains(data, textMark):
			continue
		}
		at := now().Sub(began)
		if tokens == 0 {
			s.first = append(s.first, at)
		}
		s.late = append(s.late, at-pacedFirst-time.Duration(tokens)*pacedInterval)
		tokens++
		s.pieces++
	}
}
