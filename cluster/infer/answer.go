package infer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A failure is the body of an error's answer.
type failure struct {
	Code    spec.Code `json:"code"`
	Message string    `json:"message"`
	Param   string    `json:"param,omitempty"`
	Hint    string    `json:"hint,omitempty"`
	Broken  bool      `json:"broken,omitempty"`
	Joined  bool      `json:"joined,omitempty"` // spec.ErrJoined
}

const maxFailure = 64 << 10

// fail answers with what the client will make the same error of, and names its kind.
func (s *server) fail(w http.ResponseWriter, err error) string {
	var refused *spec.Rejection
	if errors.As(err, &refused) {
		h := w.Header()
		h.Set(hdrKind, kindRejected)
		h.Set(hdrReason, headerText(refused.Reason))
		h.Set(hdrRetryAfter, strconv.FormatInt(refused.RetryAfter.Milliseconds(), 10))
		if refused.Load != nil {
			h.Set(hdrLoad, loadText(*refused.Load))
		}
		w.WriteHeader(http.StatusConflict)
		return "rejected"
	}
	f := failure{Broken: errors.Is(err, spec.ErrBroken), Joined: errors.Is(err, spec.ErrJoined)}
	var public *spec.Error
	if errors.As(err, &public) {
		f.Code, f.Message, f.Param, f.Hint = public.Code, public.Message, public.Param, public.Hint
	} else { // not made for clients: they are told its class alone
		f.Code, f.Message = spec.CodeUpstream, "The serving node failed to open the request."
		s.cfg.Log.Warn("inference for another node failed", "error", err)
	}
	raw, err := json.Marshal(f)
	if err != nil {
		raw = []byte(`{"code":"internal","message":"The failure could not be described."}`)
	}
	w.Header().Set(hdrKind, kindError)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Code.Lookup().Status)
	_, _ = w.Write(raw)
	return "error"
}

// rejection rebuilds what fail made of a refusal.
func rejection(h http.Header, now time.Time) *spec.Rejection {
	r := &spec.Rejection{Reason: h.Get(hdrReason)}
	if ms, err := strconv.ParseInt(h.Get(hdrRetryAfter), 10, 64); err == nil && ms > 0 && ms < 1<<40 {
		r.RetryAfter = time.Duration(ms) * time.Millisecond
	}
	if l, ok := loadFromText(h.Get(hdrLoad), now); ok {
		r.Load = &l
	}
	return r
}

// failureError rebuilds what fail made of another error.
func failureError(body io.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(body, maxFailure))
	if err != nil {
		return fmt.Errorf("the node's error could not be read: %w", err)
	}
	return parseFailure(raw)
}

func parseFailure(raw []byte) error {
	var f failure
	if err := json.Unmarshal(raw, &f); err != nil || f.Code == "" {
		return fmt.Errorf("the node answered with an error that could not be read")
	}
	e := &spec.Error{Code: f.Code, Message: f.Message, Param: f.Param, Hint: f.Hint}
	if f.Broken {
		e.Err = spec.ErrBroken
	}
	if f.Joined {
		return fmt.Errorf("%w: %w", spec.ErrJoined, e)
	}
	return e
}

// headerText makes s fit for a header: one line of printable ASCII, bounded.
func headerText(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
