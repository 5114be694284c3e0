package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// A request is one of a trace, and what became of it.
type request struct {
	at      time.Duration
	gateway int
	prompt  int
	output  int
	talk    *talk // nil: it is of no conversation
	turn    int
	cached  int           // tokens that its engine held
	first   time.Duration // when its first token came to the gateway, less at; 0: not yet
}

const (
	meanPrompt = 1000
	meanOutput = 250
	spread     = 1.0 // of the logarithm of a prompt's length
	maxPrompt  = 32_000
	burstEvery = 20 * time.Second // in each such time, a quarter has 2.5 times the rate and the rest half of it
)

// kinds of traces.
const (
	poisson      = "poisson"
	bursty       = "bursty"
	conversation = "conversation"
)

// traceOf is n requests that offer so much of the fleet's prefill speed, tokens per second.
func traceOf(kind string, n, gateways int, load, speed float64, seed uint64) []request {
	r := rand.New(rand.NewPCG(seed, 1))
	rate := load * speed / meanPrompt
	if kind == conversation {
		return conversations(n, gateways, rate, r)
	}
	out := make([]request, n)
	var at time.Duration
	for i := range out {
		now := rate
		if kind == bursty {
			now *= 0.5
			if at%burstEvery < burstEvery/4 {
				now *= 5
			}
		}
		at += seconds(r.ExpFloat64() / now)
		out[i] = request{at: at, gateway: r.IntN(gateways), prompt: length(r), output: meanOutput}
	}
	return out
}

// length is of a prompt: log-normal, with meanPrompt as the mean.
func length(r *rand.Rand) int {
	return int(min(max(math.Exp(math.Log(meanPrompt)-spread*spread/2+spread*r.NormFloat64()), 1), maxPrompt))
}

// conversations come at random; each has some turns, whose prompts have all that was
// said before. The prompts' mean is meanPrompt.
func conversations(n, gateways int, rate float64, r *rand.Rand) []request {
	const turns, system, said, think = 6, 200, 320, 20.0
	out := make([]request, 0, n)
	var at time.Duration
	for len(out) < n {
		at += seconds(r.ExpFloat64() / (rate / turns))
		turn, prompt := at, system
		t := &talk{id: uint64(len(out)/turns + 1)}
		for i := range turns {
			prompt += int(said/4 + r.ExpFloat64()*said*3/4 - said*0.285)
			prompt = max(prompt, 1)
			t.prompts = append(t.prompts, prompt)
			out = append(out, request{at: turn, gateway: r.IntN(gateways), prompt: prompt, output: meanOutput, talk: t, turn: i})
			turn += seconds(think * (0.2 + r.ExpFloat64()))
		}
	}
	out = out[:n]
	byTime(out)
	return out
}
