package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A figure is one line of the outcome. A goal missed is told, and fails nothing.
type figure struct {
	name  string
	value float64
	unit  string
	goal  float64 // at least; 0: none
}

func (f figure) String() string {
	line := fmt.Sprintf("figure: %s %.3f %s", f.name, f.value, f.unit)
	if f.goal == 0 {
		return line
	}
	line += fmt.Sprintf(" goal >= %g", f.goal)
	if f.value < f.goal {
		line += " (missed)"
	}
	return line
}

const goal = 0.95

// A kind of load is one comparison.
type kind struct {
	name    string
	streams int
	answers int // of each stream, one after the other: a measurement must not be too short
	tokens  int
	prompt  func(round, i int) string
	speed   func(outcome) float64
	goal    float64
}

func kinds(tokens int) []kind {
	count := func(_, i int) string { return chat(fmt.Sprintf("Count from %d to 150.", 1+i%8)) }
	// no two have a beginning in common, so that nothing is cached
	long := func(round, i int) string {
		return chat(fmt.Sprintf("%d %d. ", round, i) + strings.Repeat("Tell me of ships. ", 40))
	}
	return []kind{
		{"tokens_1_stream", 1, 10, tokens, count, outcome.rate, goal},
		{"tokens_8_streams", 8, 2, tokens, count, outcome.rate, goal},
		{"first_token_8_long_prompts", 8, 1, 1, long, func(o outcome) float64 { return 1 / o.first.Seconds() }, 0},
	}
}

func chat(question string) string {
	return "<|im_start|>user\n" + question + "<|im_end|>\n<|im_start|>assistant\n"
}

// compare lets both take turns, the one that begins changing from round to round. The first round, in
// which both warm up, does not count. The processor's time per token tells more than the clock where the
// machine has other work.
func compare(ctx context.Context, ours, theirs *process, rounds, tokens int) (list []figure, err error) {
	for _, k := range kinds(tokens) {
		var mine, other, ratios, costs []float64
		for round := range rounds + 1 {
			var speeds, cost [2]float64
			for turn := range 2 {
				who := (turn + round) % 2
				if speeds[who], cost[who], err = k.measure(ctx, []*process{ours, theirs}[who], round); err != nil {
					return list, fmt.Errorf("%s, %s: %w", k.name, []string{"lotabots-engine", "llama-server"}[who], err)
				}
			}
			if round > 0 {
				mine, other, ratios = append(mine, speeds[0]), append(other, speeds[1]), append(ratios, speeds[0]/speeds[1])
				costs = append(costs, cost[0]/max(cost[1], 1e-9))
			}
		}
		unit := "tokens/s"
		if k.goal == 0 {
			unit = "1/s"
		}
		list = append(list,
			figure{"engine_" + k.name, median(mine), unit, 0}, figure{"llama_server_" + k.name, median(other), unit, 0},
			figure{k.name + "_cpu_ratio", median(costs), "x", 0}, figure{k.name + "_ratio", median(ratios), "x", k.goal})
	}
	return list, nil
}

// measure gives a speed, and the seconds of the processor per token of the answers.
func (k kind) measure(ctx context.Context, p *process, round int) (speed, cost float64, err error) {
	before := p.cpu()
	o, err := streams(ctx, p.client, k.streams, k.answers, k.tokens, func(i int) string { return k.prompt(round, i) })
	if err != nil {
		return 0, 0, fmt.Errorf("%w; it said:\n%s", err, p.said())
	}
	return k.speed(o), (p.cpu() - before) / float64(o.tokens), nil
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}
