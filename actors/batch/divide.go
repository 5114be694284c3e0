package batch

// divide is spread with at least 1 for each, where there is enough for all.
func divide(total int64, weights []int) []int64 {
	n := int64(len(weights))
	if total < n {
		return spread(total, weights)
	}
	out := spread(total-n, weights)
	for i := range out {
		out[i]++
	}
	return out
}

// spread shares total out by the weights, of which those below 1 count as 1: whole
// numbers whose sum is total.
func spread(total int64, weights []int) []int64 {
	out := make([]int64, len(weights))
	if total <= 0 || len(weights) == 0 {
		return out
	}
	var sum int64
	for _, w := range weights {
		sum += int64(max(w, 1))
	}
	var seen, given int64
	for i, w := range weights { // each gets what its end is beyond what has been given
		seen += int64(max(w, 1))
		upTo := int64(float64(total) * (float64(seen) / float64(sum)))
		if i == len(weights)-1 {
			upTo = total
		}
		upTo = min(max(upTo, given), total)
		out[i] = upTo - given
		given = upTo
	}
	return out
}
