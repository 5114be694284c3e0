package instance

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/wire"
)

// An adaptable engine notes what it is to load.
type adaptable struct {
	*scripted
	log  chan string
	busy chan struct{} // a load ends when it is closed
}

func (e *adaptable) LoadAdapter(ctx context.Context, name, path string) error {
	e.log <- "load " + name + " from " + path
	select {
	case <-e.busy:
	case <-ctx.Done():
		return ctx.Err()
	}
	if name == "bad" {
		return errors.New("wrong shape")
	}
	return nil
}

func (e *adaptable) UnloadAdapter(_ context.Context, name string) error {
	e.log <- "unload " + name
	return nil
}

func soon[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("no " + what)
		panic("unreachable")
	}
}

func TestAdaptersOneAfterAnother(t *testing.T) {
	log, busy, told := make(chan string, 10), make(chan struct{}), make(chan *Adapted, 10)
	e := newScripted()
	next, stop, send := launchWith(t, fast(), func(int) (engine.Engine, error) { return &adaptable{e, log, busy}, nil }, func(c *Config) {
		c.Load.Adapters = []*wire.ModelFile{{Name: "fr", Model: "m-fr"}, {Name: "bad", Model: "m-bad"}}
		c.Path = func(_ context.Context, l *wire.LoadModel, _ func(float64)) (string, error) {
			if l.GetModel() == "m" {
				return "/model.gguf", nil
			}
			return "/" + l.GetModel(), nil
		}
	}, told)
	expectStates(t, next, isLoading, isReady)
	for _, m := range []*Adapt{{"fr", true}, {"bad", true}, {"fr", false}, {"other", true}} {
		send(m)
	}
	if got := soon(t, log, "load"); got != "load fr from /m-fr" {
		t.Fatal(got)
	}
	select {
	case got := <-log:
		t.Fatalf("%s, while another is being loaded", got)
	case <-time.After(20 * time.Millisecond):
	}
	close(busy)
	for _, want := range []struct {
		name         string
		load, failed bool
	}{{"fr", true, false}, {"bad", true, true}, {"fr", false, false}, {"other", true, true}} {
		if m := soon(t, told, "answer"); m.Name != want.name || m.Load != want.load || (m.Err != nil) != want.failed || m.Run != 7 {
			t.Errorf("%+v, want %+v", m, want)
		}
	}
	stop()
}

// TestALoadEndsWithItsEngine: nobody waits for an adapter of an engine that is gone.
func TestALoadEndsWithItsEngine(t *testing.T) {
	log, told := make(chan string, 10), make(chan *Adapted, 10)
	engines := []*scripted{newScripted(), newScripted()}
	next, stop, send := launchWith(t, fast(), func(n int) (engine.Engine, error) {
		return &adaptable{engines[n-1], log, make(chan struct{})}, nil
	}, func(c *Config) { c.Load.Adapters = []*wire.ModelFile{{Name: "fr", Model: "m"}} }, told)
	expectStates(t, next, isLoading, isReady)
	send(&Adapt{"fr", true})
	soon(t, log, "load")
	engines[0].crash(errors.New("crashed"))
	expectStates(t, next, isRestarting, isReady)
	send(&Adapt{"fr", false})
	if m := soon(t, told, "answer"); m.Load {
		t.Errorf("told of the first engine's: %+v", m)
	}
	stop() // ends what is under way
}
