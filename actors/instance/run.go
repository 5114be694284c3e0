package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A run is one attempt: the life of one engine, from its model's file to its end.
type run struct {
	cfg     Config
	attempt int
	post    func(any) // to the actor
}

var (
	errHalted    = errors.New("the instance is being stopped")
	errUnhealthy = errors.New("the engine does not answer its probes")
)

// A faultError ends an attempt for what the device has told.
type faultError struct{ reason string }

func (e *faultError) Error() string { return "device fault: " + e.reason }

// lost is how long an engine that is past help may take to end before it is killed.
const lost = 500 * time.Millisecond

// run ends when the engine has ended, whoever ended it.
func (r *run) run(ctx context.Context) {
	began := time.Now()
	e, err := r.start(ctx)
	if err == nil {
		r.cfg.Log.Info("engine serves", "engine", r.cfg.Load.GetEngine(), "slots", e.Slots(), "context", e.Context(), "took", time.Since(began))
		r.post(&ready{r.attempt, e})
		err = r.watch(ctx, e)
		patience := r.cfg.Policy.Stop
		if !errors.Is(err, errHalted) {
			patience = min(patience, lost)
		}
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		if failed := e.Stop(stopping); failed != nil {
			r.cfg.Log.Warn("engine was not stopped cleanly", "error", failed)
		}
		cancel()
	}
	if fault := (*faultError)(nil); errors.As(context.Cause(ctx), &fault) {
		err = fault // also where it cut the start short
	}
	r.post(&ended{r.attempt, err})
}

func (r *run) start(ctx context.Context) (engine.Engine, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Policy.Start)
	defer cancel()
	s := Spec(r.cfg.Load, r.cfg.Device)
	if s.Model != "" && s.Preset != engine.External {
		path, err := r.cfg.Path(ctx, r.cfg.Load)
		if err != nil {
			return nil, fmt.Errorf("bringing the model's file: %w", err)
		}
		s.Model = path
	}
	e, err := r.cfg.Open(s)
	if err != nil {
		return nil, err
	}
	return e, e.Start(ctx)
}

// watch probes the engine until it ends, stops answering, or ctx ends.
func (r *run) watch(ctx context.Context, e engine.Engine) error {
	tick := time.NewTicker(r.cfg.Policy.Probe)
	defer tick.Stop()
	for failures := 0; failures < r.cfg.Policy.Unhealthy; {
		select {
		case <-ctx.Done():
			return errHalted
		case <-e.Done():
			if err := e.Err(); err != nil {
				return err
			}
			return errors.New("the engine ended by itself")
		case <-tick.C:
			if err := r.probe(ctx, e); err != nil {
				failures++
				r.cfg.Log.Warn("engine does not answer its probe", "failures", failures, "error", err)
				continue
			}
			failures = 0
		}
	}
	return errUnhealthy
}

func (r *run) probe(ctx context.Context, e engine.Engine) error {
	ctx, cancel := context.WithTimeout(ctx, max(3*r.cfg.Policy.Probe, time.Second))
	defer cancel()
	if err := e.Healthy(ctx); err != nil {
		return err
	}
	l, err := e.Load(ctx)
	if err == nil && l.Known {
		r.post(&measured{r.attempt, l})
	}
	return nil // an engine that cannot tell its load may still serve
}

// maxReason is what a digest has room for.
const maxReason = 200

// reason is err as one line of at most maxReason bytes; of a long one, its end:
// an engine's last words say most.
func reason(err error) string {
	text := err.Error()
	var e *spec.Error
	if errors.As(err, &e) {
		text = string(e.Code) + ": " + e.Message
	}
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
	if over := len(text) - maxReason; over > 0 {
		text = text[over+len("..."):]
		for !utf8.RuneStart(text[0]) {
			text = text[1:]
		}
		text = "..." + text
	}
	return text
}
