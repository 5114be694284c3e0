package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// opsServer serves profiles and reloads on a Unix socket in the data directory,
// mode 0600: for whoever may read the node's files, nobody else.
type opsServer struct {
	server *http.Server
	done   chan struct{}
}

// opsSocket is the socket's name inside the data directory. It is opened by its
// relative name, so that a long directory cannot exceed the 108 bytes of a path.
const opsSocket = "ops.sock"

func startOps(dir string, reload http.HandlerFunc) (*opsServer, error) {
	path := filepath.Join(dir, opsSocket)
	_ = os.Remove(path)
	listener, err := listenUnix(path)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reload", reload)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	o := &opsServer{server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		_ = o.server.Serve(listener) // ends with Close
	}()
	return o, nil
}

func (o *opsServer) shutdown(ctx context.Context) error {
	err := o.server.Close()
	select {
	case <-o.done:
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
	return err
}

func listenUnix(path string) (net.Listener, error) {
	name, free, err := socketName(path)
	if err != nil {
		return nil, err
	}
	defer free()
	listener, err := net.Listen("unix", name)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(path, 0o600)
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	name, free, err := socketName(path)
	if err != nil {
		return nil, err
	}
	defer free()
	return new(net.Dialer).DialContext(ctx, "unix", name)
}

// socketName is path by way of a link to its directory's descriptor where it is
// long, since a socket's name may have 107 bytes at most.
func socketName(path string) (name string, free func(), err error) {
	if len(path) <= 100 {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path)), func() { _ = dir.Close() }, nil
}
