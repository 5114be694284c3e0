package gateway

import "testing"

// TestEachLetGoIsOneClose: of a connection that the server lets go of twice before it has closed it once, both
// closes are let pass by, and no third one.
func TestEachLetGoIsOneClose(t *testing.T) {
	one, _ := pair(t)
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
