package transport

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// TestWhatMovesMuchIsSentWhenItIsFlushed, in full and in order, both ways.
func TestWhatMovesMuchIsSentWhenItIsFlushed(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	l := a.Listener(protoBulk)
	out, err := b.DialNode(t.Context(), protoBulk, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if p, ok := PeerOfConn(in); !ok || p.ID != "b" {
		t.Errorf("the server sees %v, %v", p, ok)
	}
	much := make([]byte, 3<<20+5)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(much)
	for _, way := range []struct{ from, to net.Conn }{{out, in}, {in, out}} {
		sent := make(chan error, 1)
		go func() {
			_, err := way.from.Write(much)
			sent <- errors.Join(err, way.from.(interface{ Flush() error }).Flush())
		}()
		got := make([]byte, len(much))
		if _, err := io.ReadFull(way.to, got); err != nil || !bytes.Equal(got, much) {
			t.Fatalf("what came is another, or %v", err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	if _, err := out.Write([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	_ = in.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := in.Read(make([]byte, 4)); n > 0 || err == nil {
		t.Errorf("%d bytes came before the flush, %v", n, err)
	}
}

// TestCloseDoesNotWaitForABlockedWrite: nobody reads what is written.
func TestCloseDoesNotWaitForABlockedWrite(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	l := a.Listener(protoBulk)
	out, err := b.DialNode(t.Context(), protoBulk, "a")
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var wrote atomic.Int64
	ended := make(chan error, 1)
	go func() {
		for {
			n, err := out.Write(make([]byte, 64<<10))
			if wrote.Add(int64(n)); err != nil {
				ended <- err
				return
			}
		}
	}()
	for last := int64(-1); wrote.Load() != last; time.Sleep(300 * time.Millisecond) {
		last = wrote.Load() // until no more is taken
	}
	closed := make(chan struct{})
	go func() { _ = out.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("Close waits")
		out.(*conn).kill()
	}
	if <-ended; t.Failed() {
		<-closed
	}
}

// TestWhoDoesNotServeItSaysSo, which is told apart from who is not there or not known.
func TestWhoDoesNotServeItSaysSo(t *testing.T) {
	w := newWorld(t)
	w.port("a")
	b := w.port("b")
	if _, err := b.DialNode(t.Context(), protoBulk, "a"); !errors.Is(err, ErrNotServed) {
		t.Errorf("an older node: %v", err)
	}
	if _, err := b.DialNode(t.Context(), protoBulk, "nobody"); !errors.Is(err, ErrUnknownNode) || errors.Is(err, ErrNotServed) {
		t.Errorf("nobody: %v", err)
	}
	w.move("gone", "127.0.0.1:1")
	if _, err := b.DialNode(t.Context(), protoBulk, "gone"); err == nil || errors.Is(err, ErrNotServed) {
		t.Errorf("one that is gone: %v", err)
	}
	w.move("c", b.Addr())
	if _, err := w.port("d").DialNode(t.Context(), protoBulk, "c"); err == nil {
		t.Error("b passed for c")
	}
	if alertNoProtocol.Error() != "tls: no application protocol" {
		t.Errorf("alert 120 is %q", tls.AlertError(120))
	}
}

// TestADeadNodesStreamsEnd: whoever waits for one is told at once.
func TestADeadNodesStreamsEnd(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	l := a.Listener(protoBulk)
	out, err := b.DialNode(t.Context(), protoBulk, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	ended := make(chan error, 1)
	go func() { _, err := out.Read(make([]byte, 1)); ended <- err }()
	b.Drop("a")
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a byte came from nowhere")
		}
	case <-time.After(30 * time.Second):
		t.Error("the read goes on")
	}
}
