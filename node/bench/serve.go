package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/chaos/mockengine"
)

// The pace of the mock engine that takes its time.
const (
	streamTokens  = 24
	pacedFirst    = 10 * time.Millisecond
	pacedInterval = 10 * time.Millisecond
)

// servePart is a process of the benchmark's own. It ends with the one that
// started it, which holds the other end of its input.
func servePart(part, upstream string, connections int) error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	l, err := listen()
	if err != nil {
		return err
	}
	mock := mockengine.Config{Tokens: streamTokens, Forget: true}
	switch part {
	case "mock":
	case "paced":
		mock.FirstToken, mock.Interval = pacedFirst, pacedInterval
	case "slots":
		mock = mockengine.Config{Tokens: overloadTokens, FirstToken: overloadFirst, Interval: overloadInterval, Slots: overloadSlots, Forget: true}
	case "idle":
		mock.Interval = idlePace
	case "pass":
		return (&fasthttp.Server{Handler: passThrough(upstream, connections), NoDefaultServerHeader: true}).Serve(l)
	default:
		return fmt.Errorf("there is no part %q", part)
	}
	return (&http.Server{Handler: mockengine.New(mock), ReadHeaderTimeout: 10 * time.Second}).Serve(l)
}

// passThrough hands every request on as it is, and streams as they come: what
// the least of all gateways costs.
func passThrough(upstream string, connections int) fasthttp.RequestHandler {
	client := &fasthttp.HostClient{Addr: upstream, MaxConns: connections + 8, StreamResponseBody: true}
	return func(ctx *fasthttp.RequestCtx) {
		response := fasthttp.AcquireResponse()
		if err := client.Do(&ctx.Request, response); err != nil {
			fasthttp.ReleaseResponse(response)
			ctx.Error(err.Error(), fasthttp.StatusBadGateway)
			return
		}
		ctx.SetStatusCode(response.StatusCode())
		ctx.Response.Header.SetContentTypeBytes(response.Header.ContentType())
		if n := response.Header.ContentLength(); n >= 0 {
			ctx.SetBody(response.Body())
			fasthttp.ReleaseResponse(response)
			return
		}
		ctx.SetBodyStream(&passed{response}, -1)
	}
}

// passed is an answer's stream, which gives the answer back when it is closed.
type passed struct{ response *fasthttp.Response }

func (p *passed) Read(b []byte) (int, error) { return p.response.BodyStream().Read(b) }

func (p *passed) Close() error {
	err := p.response.CloseBodyStream()
	fasthttp.ReleaseResponse(p.response)
	return err
}
