package relay

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A probed bench has nodes that are asked whether they answer.
type probed struct {
	*bench
	answer func(context.Context) error
	asked  atomic.Int32
}

func (p *probed) Alive(ctx context.Context, _ spec.NodeID) error {
	p.asked.Add(1)
	return p.answer(ctx)
}

func newProbed(t *testing.T, answer func(context.Context) error) *probed {
	p := &probed{answer: answer}
	p.bench = newBench(t, "a b", func(c *Config) {
		p.bench = c.Opener.(*bench)
		c.Opener, c.Between = p, 30*time.Second
	})
	p.can = spec.AbleContinue
	p.tell()
	p.prepare = func(x *Exchange) {
		x.Call.Path, x.Body = chatPath, []byte(`{"messages":[{"role":"user","content":"x"}]}`)
	}
	p.plays("a", streams(piece("x"), time.Minute))
	p.plays("b", streams(piece("y"), stopped+done))
	return p
}

// TestMuteNodesAreLeft: a stream that stands still because its node does not answer
// goes on elsewhere, whether the question fails or nothing comes back.
func TestMuteNodesAreLeft(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(context.Context) error{
		"fails":   func(context.Context) error { return errors.New("no route") },
		"silence": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		p := newProbed(t, answer)
		began := time.Now()
		_, text := p.get(true)
		if took := time.Since(began); took > 20*time.Second { // of the 30 s that any stream may stand still
			t.Errorf("%s: took %v", name, took)
		}
		if !strings.HasPrefix(text, piece("x")+": resumed node=b") || !strings.HasSuffix(text, piece("y")+stopped+done) {
			t.Errorf("%s: %q", name, text)
		}
		if o := p.outcome(); o.Err != nil || o.Resumes != 1 || p.asked.Load() == 0 {
			t.Errorf("%s: %+v, asked %d times", name, o, p.asked.Load())
		}
	}
}

// TestSlowEnginesAreWaitedFor: while the node answers, its stream may stand still for
// as long as any may.
func TestSlowEnginesAreWaitedFor(t *testing.T) {
	t.Parallel()
	p := newProbed(t, func(context.Context) error { return nil })
	p.plays("a", streams(piece("x"), 1200*time.Millisecond, piece("z"), stopped+done))
	if _, text := p.get(true); text != piece("x")+piece("z")+stopped+done {
		t.Errorf("%q", text)
	}
	if n := p.asked.Load(); n == 0 || n > 20 {
		t.Errorf("asked %d times", n)
	}
	p.outcome()
}
