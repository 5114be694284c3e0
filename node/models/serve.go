package models

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Handler answers other nodes: what is here (GET /held), on its way (GET /coming), and may go (GET /storage, and
// POST /collect, which removes it), whether a model is right (POST /verify/NAME), and the
// end of a pull (DELETE /pull/NAME). POST /keep/NAME asks to keep a copy for a while.
// may refuses who is not to command this node.
func (k *Keeper) Handler(may func(r *http.Request) error) http.Handler {
	mux := http.NewServeMux()
	command := func(pattern string, fn func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := may(r); err != nil {
				answer(w, nil, spec.Errorf(spec.CodeForbidden, "%v", err))
				return
			}
			out, err := fn(r)
			answer(w, out, err)
		})
	}
	mux.HandleFunc("GET /held", func(w http.ResponseWriter, _ *http.Request) { answer(w, k.Report(), nil) })
	mux.HandleFunc("GET /coming", func(w http.ResponseWriter, _ *http.Request) { answer(w, k.coming(), nil) })
	mux.HandleFunc("GET /storage", func(w http.ResponseWriter, r *http.Request) { answer(w, k.storage(r.Context(), true), nil) })
	mux.HandleFunc("POST /keep/{name}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, k.keep(r.PathValue("name"), r.URL.Query().Get("digest")), nil)
	})
	command("POST /collect", func(r *http.Request) (any, error) { return k.storage(r.Context(), false), nil })
	command("POST /verify/{name}", func(r *http.Request) (any, error) {
		return k.check(r.Context(), r.PathValue("name"))
	})
	command("DELETE /pull/{name}", func(r *http.Request) (any, error) { return k.stopPull(r.PathValue("name")), nil })
	return mux
}

// refusal is an error on its way to another node.
type refusal struct {
	Code    spec.Code `json:"code"`
	Message string    `json:"message"`
	Hint    string    `json:"hint"`
	Param   string    `json:"param"`
}

func answer(w http.ResponseWriter, out any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		e := asSpec(err)
		if e == nil {
			e = &spec.Error{Code: spec.CodeInternal, Message: err.Error()}
		}
		w.WriteHeader(e.Code.Lookup().Status)
		out = refusal{e.Code, e.Message, e.Hint, e.Param}
	}
	_ = json.NewEncoder(w).Encode(out)
}

func asSpec(err error) *spec.Error {
	var e *spec.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
