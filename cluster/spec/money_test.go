package spec

import (
	"testing"

	"pgregory.net/rapid"
)

func TestMoney(t *testing.T) {
	for text, want := range map[string]uint64{"": 0, "0": 0, "0.15": 150_000_000, "2": 2_000_000_000, "0.000000001": 1, "999999999.999999999": 999_999_999_999_999_999} {
		if got, ok := ParseMoney(text); !ok || got != want {
			t.Errorf("%q is %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{".5", "5.", "-1", "1e3", "1,5", "1000000000", "0.0000000001", " 1", "1.2.3", "+1", "x"} {
		if got, ok := ParseMoney(text); ok {
			t.Errorf("%q is %d", text, got)
		}
	}
	for n, want := range map[uint64]string{150_000_000: "0.15", 2_000_000_000: "2.00", 1: "0.000000001", 12_345_678_900: "12.3456789", 500_000_000: "0.50"} {
		if got := FormatMoney(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestMoneyComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(0, 999_999_999_999_999_999).Draw(t, "n")
		if got, ok := ParseMoney(FormatMoney(n)); !ok || got != n {
			t.Fatalf("%d came back as %d, %v", n, got, ok)
		}
	})
}
