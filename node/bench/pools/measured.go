package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A way is what the rounds gave of a pool's work, with it or without, by the unit per request.
type way map[string][]float64

// median of the rounds.
func (w way) median(unit string) float64 {
	values := slices.Sorted(slices.Values(w[unit]))
	if len(values) == 0 {
		return 0
	}
	return values[len(values)/2]
}

// measured are the pools' ways by their names: without, with.
type measured map[string]*[2]way

// read takes in what go test prints: lines of a name, a number of runs, and values each with its unit.
func (m measured) read(out io.Reader) error {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			continue
		}
		parts := strings.Split(fields[0], "/")
		if len(parts) != 3 || parts[0] != "BenchmarkPool" {
			continue
		}
		which, _, _ := strings.Cut(parts[2], "-") // and the number of processors
		at := slices.Index([]string{"without", "with"}, which)
		if at < 0 {
			return fmt.Errorf("%q is neither with nor without a pool", lines.Text())
		}
		if m[parts[1]] == nil {
			m[parts[1]] = &[2]way{{}, {}}
		}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("%q: %w", lines.Text(), err)
			}
			unit := fields[i+1]
			m[parts[1]][at][unit] = append(m[parts[1]][at][unit], value)
		}
	}
	return lines.Err()
}

func (m measured) table(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 2, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "per request, without and with\tns\t\tCPU ns\t\tbytes\t\tallocations\t\t")
	for _, name := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(w, "%s\t", name)
		for _, unit := range []string{"ns/op", "cpu-ns/op", "B/op", "allocs/op"} {
			fmt.Fprintf(w, "%.0f\t%.0f\t", m[name][0].median(unit), m[name][1].median(unit))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	fmt.Fprintln(out)
}

// figures are what each pool saves, as the share of what it would take without.
func (m measured) figures() (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		ratio := func(unit string) float64 {
			without := m[name][0].median(unit)
			if without == 0 {
				return 1
			}
			return m[name][1].median(unit) / without
		}
		for _, f := range []struct {
			of, unit string
			goal     float64
		}{{"cpu", "cpu-ns/op", 1}, {"bytes", "B/op", 0.95}} {
			value, missed := ratio(f.unit), ""
			if value > f.goal {
				missed = " (missed)"
			}
			lines = append(lines, fmt.Sprintf("figure: pool_%s_%s %.3f x goal <= %g%s", strings.ReplaceAll(name, "-", "_"), f.of, value, f.goal, missed))
		}
	}
	return lines
}
