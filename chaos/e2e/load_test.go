//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An outcome is how one request of the load ended.
type outcome struct {
	gateway  string // id of the node that was asked
	served   string // id of the node that served, where the answer says so
	attempts string
	began    time.Time
	took     time.Duration
	err      error // nil: finished with a finish reason and [DONE]
}

// A load asks the gateways for streamed counts, again and again, from several
// clients, each choosing a gateway as a load balancer would: in turn, among
// those that offer() returns.
type load struct {
	cluster  *cluster
	offer    func() []int // indexes of the nodes that may be asked
	mu       sync.Mutex
	outcomes []outcome
	next     atomic.Int64
	stop     context.CancelFunc
	done     sync.WaitGroup
}

func (c *cluster) startLoad(clients int, offer func() []int) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{cluster: c, offer: offer, stop: stop}
	for range clients {
		l.done.Go(func() {
			for ctx.Err() == nil {
				nodes := l.offer()
				if len(nodes) == 0 {
					time.Sleep(5 * time.Millisecond)
					continue
				}
				n := c.file.Nodes[nodes[int(l.next.Add(1))%len(nodes)]]
				o := stream(context.Background(), n.API, c.file.AdminKey, chat(c.file.Deployment, 1, 30, true))
				o.gateway = n.ID
				l.mu.Lock()
				l.outcomes = append(l.outcomes, o)
				l.mu.Unlock()
			}
		})
	}
	return l
}

// finish lets running requests end and returns every outcome.
func (l *load) finish() []outcome {
	l.stop()
	l.done.Wait()
	return l.outcomes
}

// stream sends one streamed chat request and reads it to its end.
func stream(ctx context.Context, api, key string, body map[string]any) outcome {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	o := outcome{began: time.Now()}
	o.err = func() error {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, "POST", api+"/v1/chat/completions", bytes.NewReader(raw))
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+key)
		request.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		o.served, o.attempts = answer.Header.Get("X-LotaBots-Node"), answer.Header.Get("X-LotaBots-Attempts")
		if answer.StatusCode != http.StatusOK {
			text := new(bytes.Buffer)
			_, _ = text.ReadFrom(answer.Body)
			return fmt.Errorf("HTTP %d: %s", answer.StatusCode, text)
		}
		return readChat(bufio.NewScanner(answer.Body))
	}()
	o.took = time.Since(o.began)
	return o
}

// readChat reads a stream to [DONE] and insists on a finish reason before it.
func readChat(lines *bufio.Scanner) error {
	finished := false
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			if !finished {
				return errors.New("[DONE] without a finish reason")
			}
			return nil
		}
		var chunk struct {
			Error   json.RawMessage
			Choices []struct {
				FinishReason *string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return fmt.Errorf("chunk %q: %w", data, err)
		}
		if chunk.Error != nil {
			return fmt.Errorf("error event: %s", chunk.Error)
		}
		for _, choice := range chunk.Choices {
			finished = finished || choice.FinishReason != nil
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("cut off in silence: no [DONE], no error event")
}
