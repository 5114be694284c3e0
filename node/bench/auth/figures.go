package main

import (
	"fmt"
	"slices"
	"time"
)

// A figure is one line of the outcome. A goal missed is told, and fails nothing.
type figure struct {
	name  string
	value float64
	unit  string
	goal  string // such as "< 300"; empty: none
	met   bool
}

func (f figure) String() string {
	line := fmt.Sprintf("figure: %s %.1f %s", f.name, f.value, f.unit)
	if f.goal == "" {
		return line
	}
	line += " goal " + f.goal
	if !f.met {
		line += " (missed)"
	}
	return line
}

// per times n calls of fn and returns nanoseconds per call.
func per(n int, fn func(i int)) float64 {
	began := time.Now()
	for i := range n {
		fn(i)
	}
	return float64(time.Since(began)) / float64(n)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}
