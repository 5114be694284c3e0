package main

import (
	"slices"
	"strings"
	"testing"
)

// TestFigures: what the rounds gave is told by its medians, and a pool that costs more than it saves is told apart.
func TestFigures(t *testing.T) {
	m := measured{}
	for _, round := range []string{
		"goos: linux\nBenchmarkPool/good-one/without-2   100  200 ns/op  400 cpu-ns/op  1000 B/op  3 allocs/op\nBenchmarkPool/good-one/with-2 100 100 ns/op 100 cpu-ns/op 10 B/op 0 allocs/op\n",
		"BenchmarkPool/good-one/without  100  200 ns/op  400 cpu-ns/op  1000 B/op  3 allocs/op\nBenchmarkPool/good-one/with 100 999 ns/op 999 cpu-ns/op 999 B/op 9 allocs/op\nok  x 1.0s\n",
		"BenchmarkPool/good-one/with-16 100 100 ns/op 100 cpu-ns/op 10 B/op 0 allocs/op\nBenchmarkPool/useless/without-2 1 10 ns/op 10 cpu-ns/op 0 B/op 0 allocs/op\nBenchmarkPool/useless/with-2 1 20 ns/op 20 cpu-ns/op 0 B/op 0 allocs/op\n",
	} {
		if err := m.read(strings.NewReader(round)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"figure: pool_good_one_cpu 0.250 x goal <= 1", "figure: pool_good_one_bytes 0.010 x goal <= 0.95",
		"figure: pool_useless_cpu 2.000 x goal <= 1 (missed)", "figure: pool_useless_bytes 1.000 x goal <= 0.95 (missed)"}
	if got := m.figures(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	var out strings.Builder
	m.table(&out)
	if !strings.Contains(out.String(), "good-one") {
		t.Error(out.String())
	}
	for _, bad := range []string{"BenchmarkPool/x/between-2 1 1 ns/op", "BenchmarkPool/x/with-2 1 one ns/op"} {
		if err := m.read(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
