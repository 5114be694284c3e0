package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestRatiosAreTogetherToApart(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Model string }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		if asked.Model == single {
			time.Sleep(20 * time.Millisecond)
		}
	}))
	t.Cleanup(web.Close)
	n := &node{api: web.URL, web: web.Client()}
	l := loading{name: "x", clients: 4, words: short, rate: 1.5}
	var both [2][]measurement
	for i, name := range []string{batched, single} {
		m, err := n.measure(t.Context(), name, l, 200*time.Millisecond)
		if err != nil || m.rate <= 0 {
			t.Fatalf("%+v, %v", m, err)
		}
		both[i] = append(both[i], m)
	}
	lines := l.lines(both[0], both[1])
	if last := lines[len(lines)-1]; strings.HasSuffix(last, "(missed)") || !strings.HasPrefix(last, "figure: batching_requests_per_second_ratio_x ") {
		t.Error(lines)
	}
	web.Close()
	if _, err := n.measure(t.Context(), batched, l, time.Second); err == nil {
		t.Error("nobody answers, and that is well")
	}
}

func TestFigure(t *testing.T) {
	for want, got := range map[string]string{
		"figure: a 1.500 x goal >= 1.5":           figure("a", 1.5, ">=", 1.5),
		"figure: a 1.500 x goal <= 1.25 (missed)": figure("a", 1.5, "<=", 1.25),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if texts(short, 1) == texts(short, 2) || len(strings.Fields(texts(long, 3))) != int(long)+1 {
		t.Error(texts(long, 3))
	}
}
