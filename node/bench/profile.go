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

// profile writes the node's CPU profile under load to the file.
func (p *parts) profile(ctx context.Context, file string) error {
	socket := filepath.Join(p.nodeData, "ops.sock")
	web := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer web.CloseIdleConnections()
	var loading sync.WaitGroup
	var failed error
	loading.Go(func() {
		_, _, failed = closedLoop(ctx, p.ways()[lota].fast, manyConnections, (profileSeconds+1)*time.Second)
	})
	err := func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://ops/debug/pprof/profile?seconds=%d", profileSeconds), nil)
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
	}()
	loading.Wait()
	if err == nil {
		err = failed
	}
	return err
}
