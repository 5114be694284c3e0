package main

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos/mockengine"
)

func TestJain(t *testing.T) {
	for _, c := range []struct {
		had  []float64
		want float64
	}{{[]float64{5, 5}, 1}, {[]float64{1, 0}, 0.5}, {[]float64{1, 2, 3}, 36.0 / 42}, {[]float64{0, 0}, 0}} {
		if got := jain(c.had); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: %v, want %v", c.had, got, c.want)
		}
	}
}

func TestRecovery(t *testing.T) {
	at := func(sent, took time.Duration, status int) answer {
		return answer{sent: sent, ended: sent + took, status: status}
	}
	const s, ms = time.Second, time.Millisecond
	fine := []answer{at(s, 50*ms, 200), at(5*s, 50*ms, 200), at(6*s, 60*ms, 200)}
	for _, c := range []struct {
		name string
		more answer
		want time.Duration
	}{
		{"before the load fell", at(4*s, 9*s, 429), 0},
		{"refused at once", at(5*s+10*ms, 0, 429), 500 * ms},
		{"refused later", at(6*s+600*ms, 0, 503), 2 * s},
		{"slow", at(7*s, s, 200), 2500 * ms},
	} {
		if got := recovery(append(fine[:3:3], c.more), 5*s, 100*ms); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestOpenLoop: so many come as are told, and what becomes of them is told apart.
func TestOpenLoop(t *testing.T) {
	engine := httptest.NewServer(mockengine.New(mockengine.Config{Tokens: 4, Slots: 1, FirstToken: 20 * time.Millisecond, Forget: true}))
	defer engine.Close()
	address := strings.TrimPrefix(engine.URL, "http://")
	all := openLoop(t.Context(), address, "m", []offer{{"k", 4, 100}, {"k", 2, 50}}, []stage{{300 * time.Millisecond, 0}, {600 * time.Millisecond, 2}})
	kinds, second := map[int]int{}, 0
	for _, a := range all {
		kinds[a.status]++
		second += a.offer
		if a.sent < 300*time.Millisecond || a.status == http.StatusTooManyRequests && a.waits != 1 {
			t.Errorf("%+v", a)
		}
	}
	if n := len(all); n < 100 || n > 270 || second < 20 || second > 110 { // 180 and 60 are expected
		t.Errorf("%d came, %d of the second kind", n, second)
	}
	if kinds[200] == 0 || kinds[429] == 0 || kinds[200]+kinds[429] != len(all) {
		t.Errorf("answers by status: %v", kinds)
	}
	if rate := saturate(t.Context(), target{address, "m", "k"}, question("m", 4), 1, 100*time.Millisecond); rate <= 0 {
		t.Error("nothing was served")
	}
}
