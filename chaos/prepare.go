package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/lotabots/lotabots/chaos/mockengine"
	"github.com/lotabots/lotabots/node/client"
)

// A mockServer is the mock engine behind a port of its own. Some of its answers
// break off, as those of real engines do.
type mockServer struct {
	engine *mockengine.Engine
	url    string
	server *http.Server
	done   chan struct{}
}

const (
	mockTokens   = 40
	mockInterval = 15 * time.Millisecond
	mockCutEvery = 7   // requests
	mockCutAfter = 190 // bytes: inside a whole answer, and inside a stream's second event
)

func startMock() (*mockServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &mockServer{url: "http://" + listener.Addr().String(), done: make(chan struct{})}
	m.engine = mockengine.New(mockengine.Config{
		Model: mockModel, Tokens: mockTokens, Interval: mockInterval, FirstToken: 5 * time.Millisecond,
		Faults: mockengine.Faults{Every: mockCutEvery, Cut: mockCutAfter},
	})
	m.server = &http.Server{Handler: m.engine, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(m.done)
		_ = m.server.Serve(listener)
	}()
	return m, nil
}

func (m *mockServer) close() {
	_ = m.server.Close()
	<-m.done
}

// client speaks to the cluster through whichever node answers.
func (k *cluster) client() *client.Client {
	endpoints := make([]string, len(k.nodes))
	for i, n := range k.nodes {
		endpoints[i] = n.API
	}
	return client.New(k.nodes[0].key, endpoints...)
}

const deployLimit = 30 * time.Second

// deployMock deploys the mock engine on two nodes, in different regions where
// there are any, and waits until it is ready there.
func (k *cluster) deployMock(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, deployLimit)
	defer cancel()
	replicas := min(2, len(k.nodes))
	regions := map[string]bool{}
	for _, n := range k.nodes {
		regions[n.Region] = true
	}
	wanted := map[string]any{"engine": "external", "options": map[string]string{"url": url}, "replicas": replicas, "slots": 16}
	if len(regions) > 1 {
		wanted["min_per_region"] = 1
	}
	if err := k.client().Do(ctx, http.MethodPut, "/admin/v1/deployments/"+mockModel, wanted, nil); err != nil {
		return fmt.Errorf("deploying the mock engine: %w", err)
	}
	for {
		var v view
		err := k.client().Do(ctx, http.MethodGet, "/admin/v1/status", nil, &v)
		if err == nil && v.ready()[mockModel] >= replicas {
			return nil
		}
		for _, i := range v.Instances {
			if i.Deployment == mockModel && i.State == "failed" {
				return fmt.Errorf("the mock engine cannot be used: %s", i.Reason)
			}
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("%d of %d instances of the mock engine are ready after %v (last error: %w)", v.ready()[mockModel], replicas, deployLimit, errors.Join(err, ctx.Err()))
		}
	}
}

// removeMock takes the mock engine out of a cluster that stays.
func (k *cluster) removeMock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return k.client().Do(ctx, http.MethodDelete, "/admin/v1/deployments/"+mockModel, nil, nil)
}

// wanted counts the ready instances of the cluster as it is, for later.
func (k *cluster) wanted(ctx context.Context, r *registry) (map[string]int, error) {
	views, err := k.views(ctx, r)
	if err != nil {
		return nil, err
	}
	return views[0].ready(), nil
}

// questions are what the clients ask.
func (k *cluster) questions(mock bool) []question {
	var out []question
	if mock {
		out = append(out,
			question{model: mockModel, prompt: "mock", tokens: mockTokens, stream: true, answer: expected(mockTokens)},
			question{model: mockModel, prompt: "mock", tokens: 8, stream: true, answer: expected(8)},
			question{model: mockModel, prompt: "mock", tokens: 12, answer: expected(12)},
		)
	}
	if k.model != "" {
		out = append(out,
			question{model: k.model, prompt: "Count from 1 to 20.", tokens: 120, stream: true},
			question{model: k.model, prompt: "Count from 1 to 5.", tokens: 40},
		)
	}
	return out
}
