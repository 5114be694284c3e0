package chaos

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"
)

//go:embed report.html.tmpl
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"seconds": func(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) },
	"sub":     func(a, b time.Duration) time.Duration { return a - b },
}).Parse(pageText))

// Shape of the strip, in pixels.
const (
	secondWidth = 12
	barHeight   = 80
	lineHeight  = 60
)

// A bar is one second's column, from the top.
type bar struct {
	X, Width                             int
	Complete, Errors, Lost, Broken, Keys int // heights
	Bad                                  int // height of all that is not complete
	Text                                 string
}

// A band is a fault's place in the strip.
type band struct {
	X, Width int
	Label    string
}

// A chart is the strip as it is drawn.
type chart struct {
	Width, Height, BarHeight, LineHeight int
	Bars                                 []bar
	Bands                                []band
	Line                                 string // points of p99
	MostRequests                         int
	MostP99                              time.Duration
}

func (r *Report) chart() chart {
	c := chart{Width: secondWidth * max(1, len(r.Strip)), BarHeight: barHeight, LineHeight: lineHeight, Height: barHeight + lineHeight + 30}
	for _, s := range r.Strip {
		c.MostRequests = max(c.MostRequests, s.Complete+s.Errors+s.Lost+s.Broken)
		c.MostP99 = max(c.MostP99, s.P99)
	}
	scale := func(n int) int { return n * barHeight / max(1, c.MostRequests) }
	var points []string
	for i, s := range r.Strip {
		b := bar{X: i * secondWidth, Width: secondWidth - 2, Complete: scale(s.Complete), Errors: scale(s.Errors), Lost: scale(s.Lost), Broken: scale(s.Broken)}
		b.Bad = b.Errors + b.Lost + b.Broken
		b.Text = fmt.Sprintf("second %d: %d complete, %d errors, %d lost, %d broken promises, %d key operations, p99 %v", i, s.Complete, s.Errors, s.Lost, s.Broken, s.Keys, s.P99.Round(time.Millisecond))
		c.Bars = append(c.Bars, b)
		y := barHeight + 20 + lineHeight - int(int64(lineHeight)*int64(s.P99)/int64(max(1, c.MostP99)))
		points = append(points, fmt.Sprintf("%d,%d", b.X+secondWidth/2, y))
	}
	c.Line = strings.Join(points, " ")
	for _, o := range r.Struck {
		if o.Op == OpFault {
			x := int((o.Begin - r.begin) * secondWidth / time.Second)
			c.Bands = append(c.Bands, band{x, max(2, int((o.End-o.Begin)*secondWidth/time.Second)), o.Node + ": " + o.Detail})
		}
	}
	return c
}

// HTML renders the report as one page without anything from elsewhere.
func (r *Report) HTML() ([]byte, error) {
	var out bytes.Buffer
	err := page.Execute(&out, struct {
		*Report
		Chart  chart
		Begin  time.Duration
		Counts []string
	}{r, r.chart(), r.begin, r.countLines()})
	return out.Bytes(), err
}

func (r *Report) countLines() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		out = append(out, fmt.Sprintf("%s %d", name, r.Counts[name]))
	}
	return out
}

// maxListed bounds the breaches of one check that a page for people lists.
const maxListed = 10

// Markdown renders the report for a terminal or a ticket.
func (r *Report) Markdown() string {
	var b strings.Builder
	verdict := "every promise held"
	if n := len(r.Violations()); n > 0 {
		verdict = fmt.Sprintf("%d BREACHES", n)
	} else if !r.Sound() {
		verdict = "NOTHING WAS PROVED: there was no load"
	}
	fmt.Fprintf(&b, "# Chaos run, seed %d: %s\n\n", r.Seed, verdict)
	fmt.Fprintf(&b, "%s, commit %s, %s. %d nodes, %v of load from %s.\n\n", r.Version, r.Commit, r.Machine, r.Nodes, r.Duration, r.Began.Format(time.RFC3339))
	fmt.Fprintf(&b, "    %s\n\n", r.Replay)
	b.WriteString("| check | promise | judged | verdict |\n| --- | --- | ---: | --- |\n")
	for _, v := range r.Verdicts {
		fmt.Fprintf(&b, "| %s | %s | %d | %s |\n", v.Check, v.Promise, v.Looked, v.word())
	}
	for _, v := range r.Verdicts {
		for i, breach := range v.Violations {
			if i == maxListed {
				fmt.Fprintf(&b, "\n- %s: and %d more (report.json has them all)", v.Check, len(v.Violations)-i)
				break
			}
			fmt.Fprintf(&b, "\n- %s, at %.3f s: %s", v.Check, breach.At.Seconds(), strings.ReplaceAll(breach.Text, "\n", "\n  "))
		}
	}
	b.WriteString("\n\n## Faults\n\n| at | fault | planned hold | node |\n| ---: | --- | ---: | ---: |\n")
	for _, f := range r.Plan {
		fmt.Fprintf(&b, "| %.2f s | %s | %.2f s | %s |\n", f.At.Seconds(), f, f.Hold.Seconds(), f.place())
	}
	b.WriteString("\n| what | node | began | took | ended |\n| --- | --- | ---: | ---: | --- |\n")
	for _, o := range r.Struck {
		fmt.Fprintf(&b, "| %s %s | %s | %.2f s | %.2f s | %s |\n", o.Op, o.Detail, o.Node, (o.Begin - r.begin).Seconds(), (o.End - o.Begin).Seconds(), brief(o.Result))
	}
	b.WriteString("\n## Second by second\n\n```\n" + r.sparks() + "```\n\n## How operations ended\n\n")
	for _, line := range r.countLines() {
		b.WriteString("- " + line + "\n")
	}
	return b.String()
}

// brief is the first line of a text, for a table.
func brief(s string) string {
	first, _, _ := strings.Cut(s, "\n")
	return clip(first)
}

// place names the node that a plan means.
func (f Fault) place() string {
	if f.Kind == Power {
		return "all"
	}
	return fmt.Sprintf("number %d", f.Node+1)
}

func (v Verdict) word() string {
	switch {
	case len(v.Violations) > 0:
		return fmt.Sprintf("BROKEN (%d)", len(v.Violations))
	case v.Looked == 0:
		return "nothing to judge"
	}
	return "held"
}

// sparks draws one row per figure and one character per second.
func (r *Report) sparks() string {
	rows := []struct {
		name  string
		value func(Second) int
	}{
		{"complete", func(s Second) int { return s.Complete }},
		{"errors", func(s Second) int { return s.Errors + s.Lost }},
		{"broken", func(s Second) int { return s.Broken }},
		{"keys", func(s Second) int { return s.Keys }},
		{"p99 ms", func(s Second) int { return int(s.P99.Milliseconds()) }},
	}
	var b strings.Builder
	for _, row := range rows {
		most := 0
		for _, s := range r.Strip {
			most = max(most, row.value(s))
		}
		fmt.Fprintf(&b, "%-9s", row.name)
		for _, s := range r.Strip {
			b.WriteRune(spark(row.value(s), most))
		}
		fmt.Fprintf(&b, "  most %d\n", most)
	}
	faults := make([]rune, len(r.Strip))
	for i := range faults {
		faults[i] = ' '
		for _, o := range r.Struck {
			from, to := int((o.Begin-r.begin)/time.Second), int((o.End-r.begin)/time.Second)
			if o.Op == OpFault && from <= i && i <= to {
				faults[i] = rune(strings.ToUpper(string(o.Kind))[0])
			}
		}
	}
	return b.String() + "faults   " + string(faults) + "\n"
}

func spark(n, most int) rune {
	if n == 0 {
		return '.'
	}
	return []rune("▁▂▃▄▅▆▇█")[min(7, n*8/(most+1))]
}
