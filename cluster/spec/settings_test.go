package spec

import "testing"

func TestRaftVoters(t *testing.T) {
	for value, want := range map[string]int{"1": 1, "3": 3, "5": 5} {
		if n, ok := RaftVoters(value); n != want || !ok {
			t.Errorf("%q: %d, %v", value, n, ok)
		}
	}
	for _, value := range []string{"", "0", "2", "4", "7", "-1", "three", "3 "} {
		if n, ok := RaftVoters(value); n != DefaultRaftVoters || ok {
			t.Errorf("%q: %d, %v", value, n, ok)
		}
	}
}
