package consensus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	insistence = 10 * time.Second // of one write or read, where its context allows as much
	firstPause = 10 * time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// What an attempt may end with, beside success. Any other error says that
// nothing was begun, and that another attempt may go better.
var (
	// errMaybe: the command may have been agreed, or may yet be.
	errMaybe = errors.New("it is not known whether the command was agreed")
	// errFinal: no attempt will go better. Wraps a *spec.Error.
	errFinal = errors.New("refused")
)

var errNoLeader = errors.New("no leader is known")

// insist makes attempts until one succeeds, is refused, or ctx ends. Each is a
// new one: nothing of a failed attempt is used in the next, but the command's
// request id, which makes a repetition harmless.
func insist[T any](ctx context.Context, what string, attempt func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, insistence)
	defer cancel()
	var maybe error
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		v, err := attempt(ctx)
		if err == nil {
			return v, nil
		}
		if errors.Is(err, errMaybe) {
			maybe = err
		}
		if errors.Is(err, errFinal) || !sleep(ctx, pause/2+rand.N(pause)) {
			return v, verdict(what, maybe, err)
		}
	}
}

// verdict says what is known after the last attempt failed with err.
func verdict(what string, maybe, err error) error {
	var public *spec.Error
	switch {
	case maybe != nil:
		return &spec.Error{Code: spec.CodeOutcomeUnknown, Err: maybe,
			Message: "The leader was lost while " + what + " was under way; it may have taken effect."}
	case errors.Is(err, errFinal) && errors.As(err, &public):
		return public
	default:
		return &spec.Error{Code: spec.CodeNoLeader, Message: "No leader answered while " + what + " was tried.", Err: err}
	}
}

func final(e *spec.Error) error { return fmt.Errorf("%w: %w", errFinal, e) }

// sleep tells whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
