package dev

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/demo"
)

// demonstrate asks the demonstration's question through the first gateway and
// prints the answer as it streams.
func demonstrate(ctx context.Context, out io.Writer, f *File) error {
	body, err := json.Marshal(map[string]any{
		"model": f.Deployment, "stream": true, "temperature": 0,
		"messages": []map[string]string{{"role": "user", "content": demo.Question}},
	})
	if err != nil {
		return err
	}
	answer, err := client.New(f.AdminKey).Send(ctx, f.Nodes[0].API, "POST", "/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the demonstration's question: %w", err)
	}
	defer answer.Body.Close()
	fmt.Fprintf(out, "\n  You: %s\n  %s (on node %s): ", demo.Question, f.Deployment, answer.Header.Get("X-LotaBots-Node"))
	if err := printStream(out, answer.Body); err != nil {
		return fmt.Errorf("the demonstration's answer: %w", err)
	}
	fmt.Fprintln(out)
	return nil
}

// printStream prints the deltas of an SSE chat answer. An answer without [DONE]
// is an error.
func printStream(out io.Writer, body io.Reader) error {
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			return nil
		}
		var chunk struct {
			Error   *struct{ Message string }
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return err
		}
		if chunk.Error != nil {
			return fmt.Errorf("the stream ended with an error: %s", chunk.Error.Message)
		}
		for _, choice := range chunk.Choices {
			fmt.Fprint(out, choice.Delta.Content)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// greet says how to go on.
func (c *Cluster) greet() {
	f, out := c.file, c.options.Out
	fmt.Fprintf(out, "\nThe cluster is up, %d node(s):\n", len(f.Nodes))
	for _, n := range f.Nodes {
		fmt.Fprintf(out, "  %-4s region %-10s zone %s  %s/v1\n", n.ID, n.Region, n.Zone, n.API)
	}
	fmt.Fprintf(out, "\nendpoint  %s/v1\nkey       %s\nmodel     %s\n", f.Nodes[0].API, f.AdminKey, f.Deployment)
	fmt.Fprintf(out, `
  curl -N %s/v1/chat/completions -H 'Authorization: Bearer %s' \
    -H 'Content-Type: application/json' \
    -d '{"model":"%s","stream":true,"messages":[{"role":"user","content":"Count from 1 to 20."}]}'

  %s status --data %s

Ctrl-C stops everything.
`, f.Nodes[0].API, f.AdminKey, f.Deployment, shown(c.options.Binary), c.dir)
}

// shown is how to call the executable from here.
func shown(binary string) string {
	if here, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(here, binary); err == nil && !strings.HasPrefix(rel, "..") {
			return rel
		}
	}
	return binary
}
