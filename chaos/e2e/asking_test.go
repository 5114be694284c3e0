//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An asking is clients that ask one deployment again and again.
type asking struct {
	sync.WaitGroup
	answered, failed atomic.Int64
}

// keepAsking has so many clients ask until ctx ends, at the nodes in turn, every other one streamed.
func (c *cluster) keepAsking(ctx context.Context, clients int, deployment string, tokens int) *asking {
	var a asking
	for i := range clients {
		a.Go(func() {
			for ctx.Err() == nil {
				answer, raw, err := call(ctx, "POST", c.file.Nodes[i%len(c.file.Nodes)].API+"/v1/chat/completions", c.file.AdminKey, chat(deployment, 1, tokens, i%2 == 0))
				switch {
				case ctx.Err() != nil:
				case err == nil && answer.StatusCode == 200 && (i%2 != 0 || bytes.HasSuffix(bytes.TrimSpace(raw), []byte("data: [DONE]"))):
					a.answered.Add(1)
				default:
					a.failed.Add(1)
					c.t.Logf("not answered: %v %s", err, raw)
					time.Sleep(100 * time.Millisecond)
				}
			}
		})
	}
	return &a
}

// check waits for the clients, whose context has ended, and holds that all were answered until then.
func (a *asking) check(t *testing.T) {
	t.Helper()
	a.Wait()
	if a.failed.Load() > 0 {
		t.Errorf("%d requests failed, %d were answered", a.failed.Load(), a.answered.Load())
	}
}
