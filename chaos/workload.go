package chaos

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	inferClients = 9
	keyClients   = 3
	mockModel    = "chaos-mock"
)

// A workload is the load of clients. None of them retries anything.
type workload struct {
	cluster  *cluster
	history  *History
	registry *registry
	web      *http.Client
	asks     []question
	seed     int64
	mu       struct {
		sync.Mutex
		keys map[string]madeKey // acknowledged, by id: for the last look
	}
}

// run makes load until ctx ends, and returns when every client has.
func (w *workload) run(ctx context.Context) {
	w.mu.Lock()
	w.mu.keys = map[string]madeKey{}
	w.mu.Unlock()
	var clients sync.WaitGroup
	for i := range inferClients {
		clients.Go(func() { w.inferring(ctx, i) })
	}
	for i := range keyClients {
		clients.Go(func() { w.managing(ctx, inferClients+i) })
	}
	clients.Wait()
}

func (w *workload) random(client int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(w.seed), uint64(client)))
}

// but picks a node other than the client's own number's. Clients differ in whom
// they never ask, so that a node that stands still does not stop them all.
func (w *workload) but(random *rand.Rand, client int) node {
	n := len(w.cluster.nodes)
	if n == 1 {
		return w.cluster.nodes[0]
	}
	return w.cluster.nodes[(client+1+random.IntN(n-1))%n]
}

// inferring asks questions. A third of the clients ask any node, the others
// always the same: they show what a node's own clients see.
func (w *workload) inferring(ctx context.Context, client int) {
	random := w.random(client)
	for ctx.Err() == nil {
		q := w.asks[random.IntN(len(w.asks))]
		n := w.cluster.nodes[client%len(w.cluster.nodes)]
		if client < inferClients/3 {
			n = w.cluster.nodes[random.IntN(len(w.cluster.nodes))]
		}
		// What was begun is let end: that is when outcomes go wrong.
		o := infer(context.WithoutCancel(ctx), w.history, w.web, n, q, client)
		w.history.Add(o)
		if o.Result == NoConnect || o.Result == HTTPError {
			sleep(ctx, 20*time.Millisecond) // as a client would, before the next request
		}
	}
}

// managing creates keys, uses and reads them on several nodes, and revokes them.
func (w *workload) managing(ctx context.Context, client int) {
	random := w.random(client)
	any := func() node { return w.but(random, client) }
	for ctx.Err() == nil {
		k, made := w.registry.create(ctx, any(), client)
		if made.Result != Done {
			sleep(ctx, 50*time.Millisecond)
			continue
		}
		w.keep(k)
		var others sync.WaitGroup
		done := make(chan struct{})
		others.Go(func() { w.watching(ctx, k, client+keyClients, done) })
		sleep(ctx, time.Duration(50+random.IntN(250))*time.Millisecond)
		if random.IntN(5) > 0 { // some stay, for the last look
			w.registry.revoke(ctx, any(), k, client)
			for range 4 {
				w.registry.use(ctx, any(), k, client)
				w.registry.read(ctx, any(), k, client)
			}
			// Past the time at which a revocation has to be in force everywhere.
			sleep(ctx, time.Duration(random.IntN(1500))*time.Millisecond)
			for _, n := range w.cluster.nodes {
				w.registry.use(ctx, n, k, client)
			}
		}
		close(done)
		others.Wait()
	}
}

// watching uses and reads the key while its owner works with it.
func (w *workload) watching(ctx context.Context, k madeKey, client int, done <-chan struct{}) {
	random := rand.New(rand.NewPCG(uint64(w.seed), uint64(len(k.id))+uint64(k.id[len(k.id)-1])))
	for ctx.Err() == nil {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(20+random.IntN(60)) * time.Millisecond):
		}
		n := w.but(random, client)
		if random.IntN(3) == 0 {
			w.registry.read(ctx, n, k, client)
		} else {
			w.registry.use(ctx, n, k, client)
		}
	}
}

func (w *workload) keep(k madeKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.keys[k.id] = k
}

// lookOnceMore reads and uses every acknowledged key on every node, after the faults.
func (w *workload) lookOnceMore(ctx context.Context) {
	w.mu.Lock()
	keys := make([]madeKey, 0, len(w.mu.keys))
	for _, k := range w.mu.keys {
		keys = append(keys, k)
	}
	w.mu.Unlock()
	var looking sync.WaitGroup
	for i, n := range w.cluster.nodes {
		looking.Go(func() {
			for _, k := range keys {
				w.registry.use(ctx, n, k, lastLook+i)
			}
			for _, k := range keys[max(0, len(keys)-20):] {
				w.registry.read(ctx, n, k, lastLook+i)
			}
		})
	}
	looking.Wait()
}
