package tuning

import (
	"cmp"
	"slices"
	"time"
)

// A Result is how fast one way of computing was.
type Result struct {
	Variant string  `json:"variant"` // of the library, as in libggml-cpu-VARIANT.so; empty: there is only one
	Threads int     `json:"threads"`
	Prefill float64 `json:"prefill_tps"`
	Decode  float64 `json:"decode_tps"` // of one sequence
}

// A Choice is how an engine shall compute.
type Choice struct {
	Variant      string    `json:"variant"`
	Threads      int       `json:"threads"`       // for one token at a time
	BatchThreads int       `json:"batch_threads"` // for prompts, and for several sequences
	Prefill      float64   `json:"prefill_tps"`
	Decode       float64   `json:"decode_tps"`
	Busy         bool      `json:"busy"` // the machine had other work while this was measured
	Measured     time.Time `json:"measured"`
}

// worth is by how much more threads must be faster: they take cores from everybody else.
const worth = 1.15

// Choose takes the variant that is fastest for a typical request, and for each kind of work the smallest
// number of threads that comes near the fastest. False: nothing was measured.
func Choose(results []Result) (Choice, bool) {
	best := Choice{}
	lowest := 0.0
	for _, variant := range variantsOf(results) {
		c := Choice{Variant: variant}
		c.BatchThreads, c.Prefill = fewest(results, variant, func(r Result) float64 { return r.Prefill })
		c.Threads, c.Decode = fewest(results, variant, func(r Result) float64 { return r.Decode })
		if c.Prefill <= 0 || c.Decode <= 0 {
			continue
		}
		if took := 512/c.Prefill + 128/c.Decode; lowest == 0 || took < lowest {
			best, lowest = c, took
		}
	}
	return best, lowest > 0
}

// variantsOf are in the order in which they were measured: the first of equals is taken.
func variantsOf(results []Result) (names []string) {
	for _, r := range results {
		if !slices.Contains(names, r.Variant) {
			names = append(names, r.Variant)
		}
	}
	return names
}

// fewest goes up from the smallest number of threads as long as it pays. Of several measurements of
// the same the fastest counts: others were disturbed.
func fewest(results []Result, variant string, speed func(Result) float64) (threads int, found float64) {
	fastest := map[int]float64{}
	for _, r := range results {
		if r.Variant == variant {
			fastest[r.Threads] = max(fastest[r.Threads], speed(r))
		}
	}
	counts := make([]int, 0, len(fastest))
	for n := range fastest {
		counts = append(counts, n)
	}
	slices.SortFunc(counts, cmp.Compare)
	for _, n := range counts {
		if threads == 0 || fastest[n] > found*worth {
			threads, found = n, fastest[n]
		}
	}
	return threads, found
}

// Counts are the numbers of threads worth trying on so many cores.
func Counts(cores int) []int {
	list := []int{1}
	for n := 2; n < cores; n *= 2 {
		list = append(list, n)
	}
	if cores > 1 {
		list = append(list, cores)
	}
	return list
}
