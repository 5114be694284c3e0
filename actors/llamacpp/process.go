package llamacpp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// headerTimeout bounds how long a connection may take to say what it wants.
const headerTimeout = 10 * time.Second

// Run serves c's model on a Unix socket until ctx ends, then lets what runs finish for at most grace.
// It listens before the model is loaded, so that health can say that it is loading.
func Run(ctx context.Context, socket string, c Config, grace time.Duration) error {
	if err := c.check(); err != nil {
		return err
	}
	listener, err := listen(socket)
	if err != nil {
		return err
	}
	server := NewServer(c.Log, nil)
	c.Told = server.Loading
	web := &http.Server{Handler: server, ReadHeaderTimeout: headerTimeout}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()

	opened := make(chan error, 1)
	var engine *Engine
	go func() {
		var err error
		c.tune(ctx)
		if engine, err = Open(c); err == nil {
			server.Serve(engine)
		}
		opened <- err
	}()
	select {
	case err = <-opened:
	case <-ctx.Done():
		// a load cannot be broken off; whoever stops us now need not wait for it
		err := web.Close()
		_ = listener.Close() // Serve may not have taken it over yet, and its socket is to go
		return err
	}
	if err != nil {
		return errors.Join(err, web.Close(), <-served)
	}
	select {
	case err = <-served:
	case <-ctx.Done():
		server.Stopping()
		last, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		if web.Shutdown(last) != nil {
			c.Log.Warn("requests were cut off", "load", engine.Load(), "after", grace)
		}
		err = <-served
	}
	engine.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, web.Close())
}

// listen takes over a socket that a killed predecessor left, but not one that is served.
func listen(socket string) (net.Listener, error) {
	if conn, err := net.Dial("unix", socket); err == nil {
		conn.Close()
		return nil, fmt.Errorf("listen on %s: another process serves there", socket)
	}
	if info, err := os.Lstat(socket); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("listen on %s: a file that is no socket is there", socket)
		}
		if err := os.Remove(socket); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(socket, 0o600)
}

// WaitForEOF returns when r ends, as a pipe from a parent does when the parent dies.
func WaitForEOF(r io.Reader) { _, _ = io.Copy(io.Discard, r) }
