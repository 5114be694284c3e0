package gpu

import "math"

// A speed is an estimate that more weighty samples move further.
type speed float64

// learn takes in a sample over so many tokens; a thousand weigh 0.3.
func (s *speed) learn(sample float64, tokens int) {
	switch {
	case tokens <= 0 || sample <= 0 || math.IsInf(sample, 0) || math.IsNaN(sample):
		return
	case *s == 0:
		*s = speed(sample)
		return
	}
	weight := 1 - math.Pow(0.7, float64(tokens)/1000)
	*s += speed(max(weight, 0.02) * (sample - float64(*s)))
}
