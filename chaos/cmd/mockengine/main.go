package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/chaos/mockengine"
)

func main() {
	c := mockengine.Config{}
	listen := flag.String("listen", "127.0.0.1:0", "address; port 0 picks a free one, which is printed")
	flag.StringVar(&c.Model, "model", "mock", "name of the model it claims to serve")
	flag.IntVar(&c.Tokens, "tokens", 16, "tokens of an answer")
	flag.DurationVar(&c.Interval, "token-interval", 0, "time between two tokens")
	flag.DurationVar(&c.FirstToken, "first-token", 0, "time before the first token")
	flag.IntVar(&c.Slots, "slots", 0, "requests at a time; 0: no limit")
	flag.IntVar(&c.Bears, "bears", 0, "requests at a time, of which more slow all down; 0: any number")
	flag.BoolVar(&c.Forget, "forget", false, "do not remember request ids")
	flag.IntVar(&c.Faults.Every, "fault-every", 0, "let every n-th request fail in the ways below; 0: none")
	flag.BoolVar(&c.Faults.Refuse, "refuse", false, "close the connection before any answer")
	flag.IntVar(&c.Faults.Status, "status", 0, "answer with this status")
	flag.IntVar(&c.Faults.Cut, "cut", 0, "close the connection after this many bytes of the answer")
	flag.BoolVar(&c.Faults.Stall, "stall", false, "stop sending after the first token")
	flag.Parse()
	if err := run(*listen, c); err != nil {
		fmt.Fprintln(os.Stderr, "mockengine:", err)
		os.Exit(1)
	}
}

// run serves until SIGINT or SIGTERM. The first line printed is the URL.
func run(address string, c mockengine.Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mockengine.New(c), ReadHeaderTimeout: 10 * time.Second}
	fmt.Printf("http://%s\n", listener.Addr())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = server.Close()
		err = <-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
