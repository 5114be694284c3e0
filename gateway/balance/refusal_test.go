package balance

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestARefusalTellsWhy: of who waits in vain, what is in the way and when to come back.
func TestARefusalTellsWhy(t *testing.T) {
	for _, c := range []struct {
		name  string
		tell  func(i *wire.InstanceLoad) // nil: there is no instance
		want  string
		retry time.Duration
	}{
		{"failed", func(i *wire.InstanceLoad) { i.State, i.Reason = failed, "not a GGUF" }, "could not be loaded", lateRetry},
		{"restarting", func(i *wire.InstanceLoad) {
			i.State, i.Reason = wire.InstanceState_INSTANCE_STATE_RESTARTING, "not a GGUF"
		}, "is being started again", soonRetry},
		{"no place", nil, "No device has a place", lateRetry},
		{"slow", func(i *wire.InstanceLoad) { i.State, i.LoadSeconds = loading, 42 }, "is being loaded and was not ready in time", 42 * time.Second},
		{"no memory", func(i *wire.InstanceLoad) { i.State, i.Phase, i.Reason = loading, "memory", "not a GGUF" }, "no memory for it has come free", 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newField(Config{LoadTimeout: time.Minute, DigestInterval: time.Hour})
			if c.tell != nil {
				f.tell("a", "north", 1, 0, func(d *wire.DeviceLoad) { c.tell(d.Instances[0]) })
			}
			_, err := f.Acquire(t.Context(), ask())
			var r *Refusal
			if !errors.As(err, &r) || r.Err.Code != spec.CodeNotReady || !strings.Contains(r.Err.Message, c.want) || r.RetryAfter != c.retry {
				t.Fatalf("%s: %v, %+v", c.name, err, r)
			}
			if strings.Contains(r.Err.Message+r.Err.Hint, "GGUF") {
				t.Errorf("%s: what the device tells is told to everybody: %+v", c.name, r.Err)
			}
		})
	}
}
