package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// An external engine is run by somebody else: it is called, never started or stopped.
type external struct {
	spec    Spec
	options options
	web     *web
	tenants Tenants
	done    chan struct{} // never closed
	stop    context.CancelFunc
	stopped context.Context
}

const (
	externalSlots = 32 // where the deployment does not say: such engines batch many requests
	externalPath  = "/v1/models"
	externalStart = 30 * time.Second // that a first answer may take
)

func newExternal(s Spec, o options, c Config) (Engine, error) {
	base, r, err := externalURL(o, c)
	if err != nil {
		return nil, err
	}
	e := &external{spec: s, options: o, web: newWeb(base, c.Egress.Dial(base.Host, dialTimeout)), done: make(chan struct{})}
	e.web.reach, e.web.foreign = r, true
	e.stopped, e.stop = context.WithCancel(context.Background())
	return e, nil
}

// Start waits until the engine answers.
func (e *external) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, externalStart)
	defer cancel()
	defer context.AfterFunc(e.stopped, cancel)()
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		err := e.Healthy(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(wait):
			if ctx.Err() == nil && !final(err) {
				continue
			}
		case <-ctx.Done():
		}
		cause := &spec.Error{Code: spec.CodeEngineStart, Message: fmt.Sprintf("the engine at %s does not answer well: %v", e.web.base, err), Err: err}
		if known := (*spec.Error)(nil); errors.As(err, &known) && known.Code == spec.CodeEngineUnavailable {
			cause.Code = known.Code
		}
		return cause
	}
}

// final tells whether waiting helps: an engine that is starting refuses connections or answers with 5xx.
func final(err error) bool {
	var refused *statusError
	var known *spec.Error
	switch {
	case errors.As(err, &refused):
		return refused.status < 500
	case errors.As(err, &known):
		return known.Code != spec.CodeUpstream
	}
	return false
}

func (e *external) Done() <-chan struct{} { return e.done }

func (e *external) Err() error { return nil }

func (e *external) Slots() uint32 {
	if e.spec.Slots == 0 {
		return externalSlots
	}
	return e.spec.Slots
}

func (e *external) Context() uint32 { return e.spec.Context }

func (e *external) Do(ctx context.Context, path string, head Head, body []byte) (*http.Response, error) {
	if e.stopped.Err() != nil {
		return nil, spec.Errorf(spec.CodeUpstream, "the engine was stopped")
	}
	var err error
	switch name := e.options["model"]; {
	case !head.isJSON() || kserves(path):
		path, body, err = addressed(path, &head, body, name)
	case name != "":
		body, err = withModel(body, name)
	}
	if err != nil {
		return nil, err
	}
	return e.web.post(ctx, path, &head, body)
}

func (e *external) Load(ctx context.Context) (Load, error) {
	if e.options["metrics"] == "" {
		return Load{}, nil
	}
	return gaugedLoad(ctx, e.web, e.options["metrics"])
}

func (e *external) Healthy(ctx context.Context) error {
	path := e.options["health"]
	if path == "" {
		path = externalPath
	}
	_, err := e.web.ask(ctx, http.MethodGet, path, nil)
	return err
}

// Stop lets go of the connections; the engine runs on.
func (e *external) Stop(context.Context) error {
	e.stop()
	e.web.close()
	return nil
}
