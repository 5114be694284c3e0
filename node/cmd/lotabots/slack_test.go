package main

import (
	"strings"
	"testing"
)

func TestWhoServes(t *testing.T) {
	for line, want := range map[string]bool{"": false, "node": false, "node run": true, "node run --data d": true, "gateway": true, "gateway --join h:1": true, "node show run": false, "status": false, "dev": false, "-test.run=x": false} {
		if got := serves(strings.Fields(line)); got != want {
			t.Errorf("%q: %t", line, got)
		}
	}
}
