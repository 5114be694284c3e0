package trial

import "time"

// Saturating is an engine that writes no more with more requests than n, of so many tokens per
// second each up to then.
func Saturating(n int, each float64) func(int, time.Duration) float64 {
	return func(k int, _ time.Duration) float64 { return each * float64(min(k, n)) }
}

// Collapsing is one that writes less and less beyond n.
func Collapsing(n int, each float64) func(int, time.Duration) float64 {
	return func(k int, _ time.Duration) float64 {
		if k <= n {
			return each * float64(k)
		}
		over := float64(k) / float64(n)
		return each * float64(n) / over
	}
}

// Bending is one that writes ever more, but less so the more there are: half of what it could
// at n.
func Bending(n int, each float64) func(int, time.Duration) float64 {
	return func(k int, _ time.Duration) float64 { return each * float64(k) / (1 + float64(k)/float64(n)) }
}

// Then is one engine, and another from some time on.
func Then(a func(int, time.Duration) float64, from time.Duration, b func(int, time.Duration) float64) func(int, time.Duration) float64 {
	return func(k int, at time.Duration) float64 {
		if at < from {
			return a(k, at)
		}
		return b(k, at)
	}
}
