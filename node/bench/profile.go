package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const profileSeconds = 5

// profile writes what the node does under load to file: its CPU profile, and to file
// with .allocs behind it what it allocates meanwhile.
func (p *parts) profile(ctx context.Context, file string) error {
	var loading sync.WaitGroup
	var failed error
	loading.Go(func() {
		_, _, failed = closedLoop(ctx, p.ways()[lota].fast, manyConnections, (2*profileSeconds+1)*time.Second)
	})
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
	socket := filepath.Join(p.nodeData, "ops.sock")
	web := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer web.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://ops/debug/pprof/"+what, nil)
	if err != nil {
		return err
	}
	answer, err := web.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, answer.Body); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
