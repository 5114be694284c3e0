package gateway

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// pair is a connection's two ends, ours first.
func pair(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &conn{TCPConn: c.(*net.TCPConn)}, client
}

// TestADeadlineMovesOn: what counts is the one that was set last, whichever the timer was set for.
func TestADeadlineMovesOn(t *testing.T) {
	ours, client := pair(t)
	began := time.Now()
	ends := func(what string, after time.Duration) {
		t.Helper()
		if n, err := ours.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%s: read %d bytes, %v", what, n, err)
		}
		if took := time.Since(began); took < after {
			t.Errorf("%s: it ended after %v, and not after %v", what, took, after)
		}
	}
	for _, after := range []time.Duration{20 * time.Millisecond, 60 * time.Millisecond, 120 * time.Millisecond} {
		if err := ours.SetReadDeadline(began.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	ends("later", 120*time.Millisecond)
	ends("passed", 0)
	if err := ours.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := ours.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	ends("sooner", 0)
	if err := errors.Join(ours.SetReadDeadline(time.Now().Add(20*time.Millisecond)), ours.SetDeadline(time.Time{})); err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(60 * time.Millisecond)
		_, _ = client.Write([]byte("x"))
	}()
	if n, err := ours.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("none: read %d bytes, %v", n, err)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		_ = ours.SetReadDeadline(time.Unix(1, 0))
	}()
	ends("by another", 0)
}

// TestAWriteGoesOn where its timer fires before its deadline, and nothing of it is written twice or left out.
func TestAWriteGoesOn(t *testing.T) {
	ours, client := pair(t)
	began := time.Now()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // more than buffers take
	if err := errors.Join(ours.SetWriteDeadline(began.Add(30*time.Millisecond)), ours.SetWriteDeadline(began.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte, 1)
	go func() {
		time.Sleep(100 * time.Millisecond)
		b := make([]byte, len(sent))
		_, _ = io.ReadFull(client, b)
		got <- b
	}()
	if n, err := ours.ReadFrom(bytes.NewReader(sent)); n != int64(len(sent)) || err != nil {
		t.Fatalf("wrote %d bytes, %v", n, err)
	}
	if !bytes.Equal(<-got, sent) {
		t.Error("something else came")
	}
	if err := ours.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after its deadline: %v", err)
	}
}
