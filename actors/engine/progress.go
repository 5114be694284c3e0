package engine

import (
	"context"
	"strings"
)

// A driver whose program tells how far it is in its log alone has narrates.
type narrator interface{ narrates() }

func (*python) narrates()      {}
func (*llamaServer) narrates() {}

// logRead is how much of a log's end is looked at for progress.
const logRead = 16 << 10

// tellProgress passes on how far a load is, where the engine tells.
func (l *local) tellProgress(ctx context.Context, p *process, w *web) {
	if l.spec.Loading == nil {
		return
	}
	if d, tells := l.driver.(interface {
		progress(ctx context.Context, w *web) (float64, error)
	}); tells {
		if part, err := d.progress(ctx, w); err == nil {
			l.spec.Loading(part)
		}
		return
	}
	if _, narrates := l.driver.(narrator); narrates {
		if text, err := endOf(p.log, logRead); err == nil {
			if part, told := partOf(text); told {
				l.spec.Loading(part)
			}
		}
	}
}

// partOf reads from the end of a log which part of a model has been loaded: the last
// bar of shards, as vLLM and SGLang draw them, or llama.cpp's dots, one for each percent.
func partOf(log string) (part float64, told bool) {
	for line := range strings.FieldsFuncSeq(log, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(line)
		if dots := len(line); dots > 0 && dots <= 101 && strings.Trim(line, ".") == "" {
			part, told = min(float64(dots)/100, 1), true
			continue
		}
		before, _, shards := strings.Cut(line, "% Completed")
		if !shards || !strings.Contains(before, "Loading") {
			continue
		}
		digits := before[len(strings.TrimRight(before, "0123456789")):]
		if n := percent(digits); n >= 0 {
			part, told = float64(n)/100, true
		}
	}
	return part, told
}

// percent is the number from 0 to 100 that digits are; -1: they are none.
func percent(digits string) int {
	if digits == "" || len(digits) > 3 {
		return -1
	}
	n := 0
	for _, d := range digits {
		n = 10*n + int(d-'0')
	}
	if n > 100 {
		return -1
	}
	return n
}
