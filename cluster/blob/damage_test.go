package blob

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestAFlippedByteIsFound: the holder does not look at first, and does when it is told.
func TestAFlippedByteIsFound(t *testing.T) {
	m, raw := model("flipped", 5)
	bad := bytes.Clone(raw)
	bad[2*testChunk+7] ^= 1
	rotten, here := newMemory(), newMemory()
	rotten.whole[string(m.Digest)] = bad
	h, holders, here2 := newHolders(t), NewMetrics(prometheus.NewRegistry()), NewMetrics(prometheus.NewRegistry())
	h.add("rotten", Handler(rotten, knows(m), holders))
	h.add("good", Handler(newMemory(raw), knows(m), nil))
	f := NewFetcher(h, here, h.list, Options{Metrics: here2})
	if _, err := f.Fetch(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(here.whole[string(m.Digest)], raw) {
		t.Error("what was fetched is another")
	}
	if h.asked["good"].Load() == 0 {
		t.Error("nobody else was asked")
	}
	if disk, wire := counted(t, holders.damaged.WithLabelValues("disk")), counted(t, here2.damaged.WithLabelValues("wire")); disk > 1 || wire != disk {
		t.Errorf("damage counted: %v on disk, %v on the wire", disk, wire)
	}
	if in := counted(t, here2.bytes.WithLabelValues("in", PeerNode)); in < float64(len(raw)) {
		t.Errorf("%v bytes were counted of %d", in, len(raw))
	}
}

// TestDamageOnTheWayIsAskedForAgain: the holder is right, and is asked on.
func TestDamageOnTheWayIsAskedForAgain(t *testing.T) {
	m, raw := model("noisy", 4)
	good := Handler(newMemory(raw), knows(m), nil)
	h := newHolders(t)
	h.add("noisy", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(hdrAgain) != "" || r.URL.Path != "/blob/noisy/1" {
			good.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		good.ServeHTTP(rec, r)
		b := rec.Body.Bytes()
		b[0] ^= 1
		_, _ = w.Write(b)
	}))
	f := NewFetcher(h, newMemory(), h.list)
	if _, err := f.Fetch(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if n := h.asked["noisy"].Load(); n != int32(len(m.Chunks))+1 {
		t.Errorf("the holder was asked %d times", n)
	}
}

func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	m := &dto.Metric{}
	if err := c.Write(m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
