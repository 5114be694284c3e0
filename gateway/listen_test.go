package gateway

import (
	"net"
	"testing"
)

// TestEachLetGoIsOneClose: of a connection that the server lets go of twice before it has closed it once, both
// closes are let pass by, and no third one.
func TestEachLetGoIsOneClose(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	one := &conn{TCPConn: c.(*net.TCPConn)}
	one.letGo.Add(1)
	one.letGo.Add(1)
	for i := range 2 {
		if err := one.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Write([]byte("x")); err != nil {
			t.Fatalf("after close %d of the server's two it is closed: %v", i+1, err)
		}
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Write([]byte("x")); err == nil {
		t.Error("it is not closed")
	}
}
