package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// An outcome is what a number of streams gave together.
type outcome struct {
	tokens int
	took   time.Duration
	first  time.Duration // to the first text, of the slowest stream
}

func (o outcome) rate() float64 { return float64(o.tokens) / o.took.Seconds() }

// streams runs n clients at once, each of which asks for so many answers, one after the other.
func streams(ctx context.Context, client *http.Client, n, answers, tokens int, prompt func(i int) string) (outcome, error) {
	var wait sync.WaitGroup
	outcomes, failed := make([]outcome, n), make([]error, n)
	began := time.Now()
	for i := range n {
		wait.Go(func() {
			for a := 0; a < answers && failed[i] == nil; a++ {
				var o outcome
				o, failed[i] = stream(ctx, client, prompt(i+n*a), tokens)
				outcomes[i].tokens, outcomes[i].first = outcomes[i].tokens+o.tokens, max(outcomes[i].first, o.first)
			}
		})
	}
	wait.Wait()
	all := outcome{took: time.Since(began)}
	for i, o := range outcomes {
		if failed[i] != nil {
			return all, failed[i]
		}
		all.tokens += o.tokens
		all.first = max(all.first, o.first)
	}
	return all, nil
}

func stream(ctx context.Context, client *http.Client, prompt string, tokens int) (o outcome, err error) {
	body, err := json.Marshal(map[string]any{
		"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": true, "stream_options": map[string]any{"include_usage": true},
	})
	if err != nil {
		return o, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/v1/completions", bytes.NewReader(body))
	if err != nil {
		return o, err
	}
	r.Header.Set("Content-Type", "application/json")
	began := time.Now()
	response, err := client.Do(r)
	if err != nil {
		return o, err
	}
	defer response.Body.Close()
	o, err = read(bufio.NewScanner(response.Body), began)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", response.StatusCode)
	}
	if err == nil && o.tokens == 0 {
		err = fmt.Errorf("the stream had no usage")
	}
	return o, err
}

// read follows a stream of events to its end.
func read(lines *bufio.Scanner, began time.Time) (o outcome, err error) {
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var e struct {
			Choices []struct{ Text string }
			Usage   *struct {
				Completion int `json:"completion_tokens"`
			}
			Error json.RawMessage
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return o, err
		}
		if e.Error != nil {
			return o, fmt.Errorf("the stream ended with %s", e.Error)
		}
		if o.first == 0 && len(e.Choices) > 0 && e.Choices[0].Text != "" {
			o.first = time.Since(began)
		}
		if e.Usage != nil {
			o.tokens = e.Usage.Completion
		}
	}
	return o, lines.Err()
}
