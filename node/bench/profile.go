package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const profileSeconds = 5

// profile writes what the node does under load to file: its CPU profile, and to file
// with .allocs behind it what it allocates meanwhile. The same with .streams is that of streams.
func (p *parts) profile(ctx context.Context, file string) error {
	const length = (2*profileSeconds + 1) * time.Second
	to := p.ways()[lota].fast
	err := p.profileOf(ctx, file, func() error { _, _, err := closedLoop(ctx, to, manyConnections, length); return err })
	if err == nil {
		err = p.profileOf(ctx, file+".streams", func() error { _, err := streamLoop(ctx, to, someStreams, length); return err })
	}
	return err
}

// profileOf profiles the node while load runs.
func (p *parts) profileOf(ctx context.Context, file string, load func() error) error {
	var loading sync.WaitGroup
	var failed error
	loading.Go(func() { failed = load() })
	err := p.fetch(ctx, fmt.Sprintf("profile?seconds=%d", profileSeconds), file)
	if err == nil {
		err = p.fetch(ctx, fmt.Sprintf("allocs?seconds=%d", profileSeconds), file+".allocs")
	}
	loading.Wait()
	if err == nil {
		err = failed
	}
	return err
}

// fetch writes one of the node's profiles to file.
func (p *parts) fetch(ctx context.Context, what, file string) error {
	all, err := profileFrom(ctx, p.nodeData, what)
	if err != nil {
		return err
	}
	return os.WriteFile(file, all, 0o600)
}

// profileFrom asks the node whose directory data is.
func profileFrom(ctx context.Context, data, what string) ([]byte, error) {
	web := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(data, "ops.sock"))
	}}}
	defer web.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://ops/debug/pprof/"+what, nil)
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

// allocationsOf is how many objects the node whose directory data is has made so far; 0: it
// cannot be told.
func allocationsOf(data string) float64 {
	if data == "" {
		return 0
	}
	all, err := profileFrom(context.Background(), data, "allocs?debug=1")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(all, []byte("\n# Mallocs = "))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, _ := strconv.ParseFloat(string(line), 64)
	return n
}
