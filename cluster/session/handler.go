package session

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	pathPrefix    = "/session/"
	maxBody       = 32 << 10
	answerTimeout = 15 * time.Second
	jsonType      = "application/json"
)

// password and hashed are the bodies of the operation hash.
type password struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

type hashed struct {
	Hash string `json:"hash"`
}

// refusal is an error on the wire.
type refusal struct {
	Code    spec.Code `json:"code"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
	Param   string    `json:"param,omitempty"`
}

// Handler serves POST /session/{login,refresh,sso/begin,sso/finish,exchange,hash}.
// Whoever mounts it lets nodes with the role gateway alone in, at Protocol.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathPrefix+opLogin.path, serve(s.Login))
	mux.HandleFunc("POST "+pathPrefix+opRefresh.path, serve(s.Refresh))
	mux.HandleFunc("POST "+pathPrefix+opBegin.path, serve(s.BeginSSO))
	mux.HandleFunc("POST "+pathPrefix+opFinish.path, serve(s.FinishSSO))
	mux.HandleFunc("POST "+pathPrefix+opExchange.path, serve(s.Exchange))
	mux.HandleFunc("POST "+pathPrefix+opHash.path, serve(s.hash))
	return mux
}

func (s *Server) hash(ctx context.Context, p password) (*hashed, error) {
	text, err := s.HashPassword(ctx, p.Name, p.Password)
	if err != nil {
		return nil, err
	}
	return &hashed{text}, nil
}

func serve[In, Out any](do func(context.Context, In) (*Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err == nil {
			err = json.Unmarshal(raw, &in)
		}
		if err != nil {
			refuse(w, &spec.Error{Code: spec.CodeInvalidJSON, Message: "The request cannot be read."})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		defer cancel()
		out, err := do(ctx, in)
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", jsonType)
		_ = json.NewEncoder(w).Encode(out)
	}
}

func refuse(w http.ResponseWriter, err error) {
	var e *spec.Error
	if !errors.As(err, &e) {
		e = &spec.Error{Code: spec.CodeInternal, Message: "The session could not be opened."}
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(e.Code.Lookup().Status)
	_ = json.NewEncoder(w).Encode(refusal{Code: e.Code, Message: e.Message, Hint: e.Hint, Param: e.Param})
}
