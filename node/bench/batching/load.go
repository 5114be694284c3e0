package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A length is the words of one input.
type length int

const (
	short length = 6
	long  length = 120
)

// A loading is how both deployments are asked.
type loading struct {
	name    string
	clients int
	words   length
	rate    float64 // goal of the ratio of requests/s, at least
	delay   float64 // goal of the ratio of medians, at most, in its stead
}

var cases = []loading{
	{"1_client", 1, short, 0, 1.25}, // it never waits for company
	{"64_clients", 64, short, 1.5, 0},
	{"8_clients_long_inputs", 8, long, 0.9, 0}, // there is little to gain, and nothing to be lost
}

// A measurement is one round of one deployment.
type measurement struct {
	rate   float64 // requests/s
	median time.Duration
	p99    time.Duration
}

// texts is the i-th input of that length: no two are the same.
func texts(l length, i int) string {
	words := strings.Fields("ships sail over the sea and carry wood to the towns of the north where it is cold in winter")
	var b strings.Builder
	fmt.Fprint(&b, i)
	for w := range int(l) {
		b.WriteByte(' ')
		b.WriteString(words[(i*7+w*5)%len(words)])
	}
	return b.String()
}

var sent atomic.Int64

// measure has the clients ask for so long, each one input at a time.
func (n *node) measure(ctx context.Context, deployment string, l loading, length time.Duration) (m measurement, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([][]time.Duration, l.clients)
	began := time.Now()
	var wait sync.WaitGroup
	for i := range l.clients {
		wait.Go(func() {
			for time.Since(began) < length && ctx.Err() == nil {
				asked := time.Now()
				if err := n.ask(ctx, deployment, texts(l.words, int(sent.Add(1)))); err != nil {
					cancel(err)
					return
				}
				took[i] = append(took[i], time.Since(asked))
			}
		})
	}
	wait.Wait()
	if err := context.Cause(ctx); err != nil {
		return m, err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	return measurement{float64(len(all)) / time.Since(began).Seconds(), all[len(all)/2], all[len(all)*99/100]}, nil
}

// ask has one text embedded.
func (n *node) ask(ctx context.Context, deployment, text string) error {
	body, err := json.Marshal(map[string]any{"model": deployment, "input": text, "encoding_format": "base64"})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.api+"/v1/embeddings", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+n.key)
	answer, err := n.web.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d: %.200s (%w)", answer.StatusCode, raw, err)
	}
	return nil
}

// lines tell what came of one case.
func (l loading) lines(together, apart []measurement) (out []string) {
	var rates, medians []float64
	for i := range together {
		rates = append(rates, together[i].rate/apart[i].rate)
		medians = append(medians, float64(together[i].median)/float64(apart[i].median))
	}
	for _, of := range []struct {
		name string
		all  []measurement
	}{{batched, together}, {single, apart}} {
		out = append(out, fmt.Sprintf("%-24s %-9s %7.0f requests/s, p50 %6.2f ms, p99 %6.2f ms", l.name, of.name,
			middle(of.all, func(m measurement) float64 { return m.rate }),
			middle(of.all, func(m measurement) float64 { return m.median.Seconds() * 1000 }),
			middle(of.all, func(m measurement) float64 { return m.p99.Seconds() * 1000 })))
	}
	if l.delay > 0 {
		return append(out, figure("batching_p50_ratio_"+l.name, median(medians), "<=", l.delay))
	}
	return append(out, figure("batching_requests_per_second_ratio_"+l.name, median(rates), ">=", l.rate))
}

// figure is one line of the outcome. A goal missed is told, and fails nothing.
func figure(name string, value float64, op string, goal float64) string {
	line := fmt.Sprintf("figure: %s %.3f x goal %s %g", name, value, op, goal)
	if op == ">=" && value < goal || op == "<=" && value > goal {
		line += " (missed)"
	}
	return line
}

func middle(all []measurement, of func(measurement) float64) float64 {
	values := make([]float64, len(all))
	for i, m := range all {
		values[i] = of(m)
	}
	return median(values)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}
