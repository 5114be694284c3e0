package mockengine

import (
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Config is how the mock behaves. Zero values: 16 tokens, at once, no limit, no failures.
type Config struct {
	Model      string
	Tokens     int           // of an answer, where the request asks for no fewer
	Interval   time.Duration // between two tokens
	FirstToken time.Duration // before the first
	Slots      int           // requests at a time; more are answered 429; 0: no limit
	Bears      int           // requests at a time; more slow all down so much that less is done; 0: any number
	Forget     bool          // keep no sightings: a benchmark sends too many
	Faults     Faults
}

// Faults go wrong with a request in Every. One that is hit fails in the set way.
type Faults struct {
	Every  int  // 0: never
	Refuse bool // close the connection before any answer
	Status int  // answer with this status
	Cut    int  // close the connection after this many bytes of the answer
	Stall  bool // stop sending after the first token, until the client goes
}

// A Sighting is what the mock knows of one request id.
type Sighting struct {
	Dispatched int `json:"dispatched"` // requests that arrived
	Finished   int `json:"finished"`   // answers sent to their end
	Cancelled  int `json:"cancelled"`  // clients that left before the end
}

// An Engine is the mock. It is an http.Handler.
type Engine struct {
	config  Config
	routes  http.Handler
	running atomic.Int64
	count   atomic.Uint64
	mu      struct {
		sync.Mutex
		seen map[string]*Sighting // by request id
	}
}

// New returns an engine; it runs nothing by itself.
func New(c Config) *Engine {
	if c.Tokens <= 0 {
		c.Tokens = 16
	}
	if c.Model == "" {
		c.Model = "mock"
	}
	e := &Engine{config: c}
	e.mu.seen = map[string]*Sighting{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", e.counted(e.generate))
	mux.HandleFunc("POST /v1/completions", e.counted(e.generate))
	mux.HandleFunc("POST /v1/embeddings", e.counted(e.embed))
	mux.HandleFunc("POST /v1/rerank", e.counted(e.rerank))
	mux.HandleFunc("POST /v1/audio/transcriptions", e.counted(e.transcribe))
	mux.HandleFunc("POST /v1/audio/translations", e.counted(e.transcribe))
	mux.HandleFunc("POST /v1/audio/speech", e.counted(e.speak))
	mux.HandleFunc("POST /v1/images/generations", e.counted(e.draw))
	e.kserve(mux)
	mux.HandleFunc("GET /v1/models", e.models)
	mux.HandleFunc("GET /health", e.health)
	mux.HandleFunc("GET /seen", e.listSeen)
	e.routes = mux
	return e
}

// ServeHTTP serves the API of OpenAI, /health and /seen.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Mock-Engine", "true")
	e.routes.ServeHTTP(w, r)
}

// Seen returns what the engine saw of a request id.
func (e *Engine) Seen(id string) Sighting {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.mu.seen[id]; s != nil {
		return *s
	}
	return Sighting{}
}

// slowed is how long something takes that takes d alone.
func (e *Engine) slowed(d time.Duration) time.Duration {
	over := float64(e.running.Load()) / float64(max(e.config.Bears, 1))
	if e.config.Bears == 0 || over <= 1 {
		return d
	}
	return time.Duration(float64(d) * math.Pow(over, 1.5))
}

// Running is the number of requests in work.
func (e *Engine) Running() int { return int(e.running.Load()) }

// note changes what is known of id; requests without an id are not remembered.
func (e *Engine) note(id string, change func(*Sighting)) {
	if id == "" || e.config.Forget {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.mu.seen[id]
	if s == nil {
		s = &Sighting{}
		e.mu.seen[id] = s
	}
	change(s)
}

// counted holds requests to the slots and writes down how each ended.
func (e *Engine) counted(next func(http.ResponseWriter, *http.Request, bool) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Lotabots-Request-Id") // the client's own, where it is no UUID
		if id == "" {
			id = r.Header.Get("X-Request-Id")
		}
		e.note(id, func(s *Sighting) { s.Dispatched++ })
		running := e.running.Add(1)
		defer e.running.Add(-1)
		if e.config.Slots > 0 && running > int64(e.config.Slots) {
			w.Header().Set("Retry-After", "1")
			fail(w, http.StatusTooManyRequests, "every slot of the mock engine is taken")
			return
		}
		f := e.config.Faults
		hit := f.Every > 0 && e.count.Add(1)%uint64(f.Every) == 0
		if hit && f.Refuse {
			abort(w)
			return
		}
		if hit && f.Status != 0 {
			fail(w, f.Status, "the mock engine was told to fail")
			return
		}
		if next(w, r, hit) {
			e.note(id, func(s *Sighting) { s.Finished++ })
		} else {
			e.note(id, func(s *Sighting) { s.Cancelled++ })
		}
	}
}

// abort closes the client's connection at once.
func abort(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}
