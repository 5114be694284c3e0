package gateway

import (
	"errors"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/fair"
)

func FuzzDeadline(f *testing.F) {
	for _, s := range []string{"1", "1.5", "-2", "1e300", "NaN", "Inf", "20ms", "-5m", "2026-01-02T15:04:05Z", "9999h", "", "x"} {
		f.Add(s)
	}
	now := time.Unix(1_000_000_000, 0)
	f.Fuzz(func(t *testing.T, text string) {
		at, ok := parseDeadline(text, now)
		if !ok && !at.IsZero() {
			t.Errorf("%q is none and is read as %v", text, at)
		}
	})
}

func TestParseDeadline(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	for text, want := range map[string]time.Duration{"1.5": 1500 * time.Millisecond, "1500ms": 1500 * time.Millisecond, "-2": -2 * time.Second, "2001-09-09T01:46:41Z": time.Second} {
		if at, ok := parseDeadline(text, now); !ok || at.Sub(now) != want {
			t.Errorf("%s is read as in %v (%v), want %v", text, at.Sub(now), ok, want)
		}
	}
	for _, text := range []string{"", "NaN", "Inf", "1e300", "soon", "1 s"} {
		if at, ok := parseDeadline(text, now); ok {
			t.Errorf("%q is read as %v", text, at)
		}
	}
}

// TestAStrainedGatewayRefusesTheLowestUnread, by what the key may ask for at most.
func TestAStrainedGatewayRefusesTheLowestUnread(t *testing.T) {
	g := &Gateway{}
	g.ranks.follow("priority/keys/vip", func(string) (string, bool) { return "normal..critical", true })
	g.strain.Take([fair.Bands]float64{0, 0, 1, 1})
	for _, c := range []struct {
		key, header string
		taken       bool
	}{{"k", "", false}, {"k", "critical", false}, {"vip", "", false}, {"vip", "high", true}, {"vip", "critical", true}, {"vip", "low", false}} {
		var ctx fasthttp.RequestCtx
		if c.header != "" {
			ctx.Request.Header.Set(HeaderPriority, c.header)
		}
		err := (&request{g: g, ctx: &ctx, who: &auth.Principal{Key: c.key}}).taken()
		var refused *limited
		if c.taken != (err == nil) || err != nil && (!errors.As(err, &refused) || spec.CodeOf(err) != spec.CodeOverloaded || refused.after < time.Second) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
