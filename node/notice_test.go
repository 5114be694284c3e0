package node

import (
	"net/http"
	"testing"
	"time"
)

// TestDrainNotice: a node that is told to end says that it is not ready, serves for as
// long as that takes to be seen, asks to be left, and only then closes its port.
func TestDrainNotice(t *testing.T) {
	severalNodes(t)
	n := &testNode{t: t, cfg: configured(t, "n1", "north", allRoles...), logs: &lockedBuffer{}}
	n.cfg.API.DrainNotice = time.Second
	if _, err := Init(n.cfg, "test"); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.ready()
	ended := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(ended)
		n.stop()
	}()
	told, web := 0, &http.Client{Timeout: 5 * time.Second}
	for time.Since(began) < 20*time.Second {
		res, err := web.Get("http://" + n.cfg.API.Listen + "/readyz")
		if err != nil {
			break
		}
		res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable && res.Close {
			told++
		}
		time.Sleep(10 * time.Millisecond)
	}
	if open := time.Since(began); told < 3 || open < n.cfg.API.DrainNotice {
		t.Errorf("it said %d times that it is not ready, and served for %v", told, open)
	}
	<-ended
}
