package llamacpp

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/cluster/spec"
)

// maxBody bounds a request's body.
const maxBody = 32 << 20

// A Server answers HTTP for an engine, which may come later: until then it says that it is loading.
type Server struct {
	engine   atomic.Pointer[Engine]
	stopping atomic.Bool
	loaded   atomic.Uint32 // per mille of the model
	now      func() time.Time
	log      *slog.Logger
	mux      *http.ServeMux
}

// NewServer returns a Server without an engine. A nil now is time.Now.
func NewServer(log *slog.Logger, now func() time.Time) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	s := &Server{log: log, now: now, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /health", s.health)
	s.mux.HandleFunc("GET /progress", s.progress)
	s.mux.HandleFunc("GET /load", s.ready(s.showLoad))
	s.mux.HandleFunc("GET /prefixes", s.ready(s.prefixes))
	s.mux.HandleFunc("GET /v1/models", s.ready(s.models))
	s.mux.HandleFunc("POST /v1/chat/completions", s.ready(s.generation(openai.Chat)))
	s.mux.HandleFunc("POST /v1/completions", s.ready(s.generation(openai.Completion)))
	s.mux.HandleFunc("POST /v1/embeddings", s.ready(bare(s.embeddings)))
	s.mux.HandleFunc("POST /v1/load_lora_adapter", s.ready(s.changeAdapter((*Engine).LoadAdapter)))
	s.mux.HandleFunc("POST /v1/unload_lora_adapter", s.ready(s.changeAdapter(func(e *Engine, name, _ string) error { return e.UnloadAdapter(name) })))
	s.mux.HandleFunc("POST /tokenize", s.ready(s.tokenize))
	s.mux.HandleFunc("POST /canary", s.ready(s.canary))
	s.mux.HandleFunc("POST /v1/rerank", s.ready(bare(s.rerank)))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, r, spec.Errorf(spec.CodeNotFound, "%s %s is not served here", r.Method, r.URL.Path))
	})
	return s
}

// Serve makes requests go to e from now on.
func (s *Server) Serve(e *Engine) { s.engine.Store(e) }

// Loading is told which part of the model has been loaded, 0 to 1, before Serve.
func (s *Server) Loading(part float32) { s.loaded.Store(uint32(1000 * min(max(part, 0), 1))) }

// progress answers while the model is loaded, too; 1 once it is.
func (s *Server) progress(w http.ResponseWriter, _ *http.Request) {
	part := float64(s.loaded.Load()) / 1000
	if s.engine.Load() != nil {
		part = 1
	}
	writeJSON(w, http.StatusOK, map[string]float64{"load_progress": part})
}

// Stopping makes health say so; running requests go on.
func (s *Server) Stopping() { s.stopping.Store(true) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

type handler func(http.ResponseWriter, *http.Request, *Engine) error

// ready runs h once there is an engine and turns its error into an answer.
func (s *Server) ready(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e := s.engine.Load()
		if e == nil {
			writeError(w, r, spec.Errorf(spec.CodeNotReady, "the model is loading"))
			return
		}
		if err := h(w, r, e); err != nil {
			if r.Context().Err() != nil {
				return // nobody reads the answer
			}
			s.log.Info("request refused", "request_id", r.Header.Get(requestID), "path", r.URL.Path, "error", err)
			writeError(w, r, err)
		}
	}
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	status, text := http.StatusOK, "ok"
	switch {
	case s.stopping.Load():
		status, text = http.StatusServiceUnavailable, "stopping"
	case s.engine.Load() == nil:
		status, text = http.StatusServiceUnavailable, "loading"
	}
	writeJSON(w, status, map[string]string{"status": text})
}

func (s *Server) showLoad(w http.ResponseWriter, _ *http.Request, e *Engine) error {
	writeJSON(w, http.StatusOK, e.Load())
	return nil
}

// prefixes answers ?epoch=E&since=N.
func (s *Server) prefixes(w http.ResponseWriter, r *http.Request, e *Engine) error {
	q, seq := r.URL.Query(), uint64(0)
	if since := q.Get("since"); since != "" {
		var err error
		if seq, err = strconv.ParseUint(since, 10, 64); err != nil {
			return &spec.Error{Code: spec.CodeInvalidRequest, Param: "since", Message: "since must be the number that the last answer gave", Err: err}
		}
	}
	writeJSON(w, http.StatusOK, e.Prefixes(q.Get("epoch"), seq))
	return nil
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request, e *Engine) error {
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []map[string]any{{
		"id": e.model.name, "object": "model", "created": s.now().Unix(), "owned_by": "lotabots", "max_model_len": e.context,
		"capabilities": e.abilities(),
	}}})
	return nil
}

func (s *Server) embeddings(w http.ResponseWriter, r *http.Request, e *Engine) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	request, err := openai.ParseEmbedding(body)
	if err != nil {
		return err
	}
	vectors, counts, err := e.embed(r.Context(), request)
	if err != nil {
		return err
	}
	answer, err := openai.EmbeddingAnswer(orName(request.Model, e), vectors, request.Base64, counts, r.Header.Get(tokenCounts) != "")
	if err == nil {
		writeBytes(w, http.StatusOK, answer)
	}
	return err
}

func (s *Server) rerank(w http.ResponseWriter, r *http.Request, e *Engine) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	requests, together, err := openai.ParseReranks(body)
	if err != nil {
		return err
	}
	scores, tokens, err := e.rerank(r.Context(), requests)
	if err != nil {
		return err
	}
	answers := make([]json.RawMessage, len(requests))
	for i, q := range requests {
		answers[i] = openai.RerankAnswer(q, orName(q.Model, e), scores[i], tokens[i])
	}
	answer := []byte(answers[0])
	if together {
		answer = openai.TogetherAnswer(answers)
	}
	writeBytes(w, http.StatusOK, answer)
	return nil
}

func orName(asked string, e *Engine) string {
	if asked != "" {
		return asked
	}
	return e.model.name
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, spec.Errorf(spec.CodeBodyTooLarge, "the body has more than %d bytes", maxBody)
	}
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Message: "the body ended early", Err: err}
	}
	return body, nil
}

// requestID is the header that says which request of a client this is, tokenCounts the
// one by which a node wants the tokens of each input: it puts requests of several together.
const (
	requestID   = "X-Request-Id"
	tokenCounts = "X-Lotabots-Token-Counts"
)

func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, body := openai.Error(err, r.Header.Get(requestID))
	writeBytes(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = openai.Error(err, "")
	}
	writeBytes(w, status, body)
}

// writeBytes leaves a failed write to net/http, which closes the connection.
func writeBytes(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
