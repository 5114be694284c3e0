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
	phases  phases
}

var (
	errHalted    = errors.New("the instance is being stopped")
	errUnhealthy = errors.New("the engine does not answer its probes")
)

// A faultError ends an attempt for what the device has told.
type faultError struct{ reason string }

func (e *faultError) Error() string { return "device fault: " + e.reason }

// lost is how long an engine that is past help may take to end before it is killed.
const lost = 100 * time.Millisecond

// run ends when the engine has ended, whoever ended it.
func (r *run) run(ctx context.Context) {
	began := time.Now()
	r.phases.run = r
	e, err := r.start(ctx)
	if err == nil {
		err = r.serve(ctx, e, began)
		patience := r.cfg.Policy.Stop
		if !errors.Is(err, errHalted) {
			patience = min(patience, lost)
		}
		err = faultOr(ctx, err)
		if !errors.Is(err, errHalted) { // to stop it may take long, and nobody is to be sent there meanwhile
			r.post(&failing{r.attempt, err})
		}
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		if failed := e.Stop(stopping); failed != nil {
			r.cfg.Log.Warn("engine was not stopped cleanly", "error", failed)
		}
		cancel()
	}
	r.post(&ended{r.attempt, faultOr(ctx, err)}) // also where a fault cut the start short
}

// faultOr is the device's fault that ended ctx, if one did.
func faultOr(ctx context.Context, err error) error {
	if fault := (*faultError)(nil); errors.As(context.Cause(ctx), &fault) {
		return fault
	}
	return err
}

// serve warms the engine up and looks after it until it is of no use any more.
func (r *run) serve(ctx context.Context, started engine.Engine, began time.Time) error {
	e := &monitored{Engine: started, pulse: new(pulse)}
	w := &watcher{run: r, engine: e, probes: make(chan probed, 1), canaries: make(chan time.Duration, 1)}
	if preset := r.cfg.Load.GetEngine(); preset != engine.External {
		r.phases.enter(PhaseWarmUp)
		warming, cancel := context.WithTimeout(ctx, r.cfg.Policy.WarmUp)
		trial, err := warmUp(warming, e, r.cfg.Load.GetDeployment())
		if err == nil && trial != nil {
			trial = canaryOf(warming, e, preset, trial)
		}
		cancel()
		switch {
		case ctx.Err() != nil:
			return errHalted
		case err != nil:
			return cold(e, preset, err)
		case trial == nil:
			r.cfg.Log.Warn("the engine refuses every kind of request that it could be warmed up by: it is not tried when idle either")
		}
		w.trial, w.crowded = trial, crowded(preset)
	}
	r.phases.enter("")
	r.cfg.Log.Info("engine serves", "engine", r.cfg.Load.GetEngine(), "slots", e.Slots(), "context", e.Context(), "took", time.Since(began))
	r.post(&ready{r.attempt, e})
	return w.watch(ctx)
}

func (r *run) start(ctx context.Context) (engine.Engine, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Policy.Start)
	defer cancel()
	s := Spec(r.cfg.Load, r.cfg.Device, r.cfg.Others...)
	if r.cfg.Attach != nil {
		if e, running := r.cfg.Attach(s.Instance); running {
			return e, e.Start(ctx)
		}
	}
	if s.Model != "" && s.Preset != engine.External {
		r.phases.enter(PhaseFetch)
		path, err := r.cfg.Path(ctx, r.cfg.Load, func(part float64) { r.phases.part(PhaseFetch, part) })
		if err != nil {
			return nil, fmt.Errorf("bringing the model's file: %w", err)
		}
		s.Model = path
	}
	if engine.AdaptersAtStart(s.Preset) {
		for i := range s.Adapters {
			path, err := r.cfg.adapterPath(ctx, s.Adapters[i].Name)
			if err != nil {
				return nil, err
			}
			s.Adapters[i].Path = path
		}
	}
	r.phases.enter(PhaseLaunch)
	s.Launched = func() { r.phases.enter(PhaseLoad) }
	s.Loading = func(part float64) { r.phases.part(PhaseLoad, part) }
	e, err := r.cfg.Open(s)
	if err != nil {
		return nil, err
	}
	return e, e.Start(ctx)
}

// maxReason is what a digest has room for.
const maxReason = 200

// reason is err as one line of at most maxReason bytes; of a long one, its beginning:
// that says what has failed, and the engine's log has the rest.
func reason(err error) string {
	text := err.Error()
	var e *spec.Error
	if errors.As(err, &e) {
		text = string(e.Code) + ": " + e.Message
	}
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
	if len(text) <= maxReason {
		return text
	}
	end := maxReason - len("...")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}
