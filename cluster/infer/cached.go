package infer

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// hdrCached tells how the call was answered and, of a kept answer, its age in milliseconds:
// "hit 1500".
const hdrCached = "Lotabots-Cached"

func cacheToWire(c *spec.CacheAsk) *wire.CacheAsk {
	if c == nil {
		return nil
	}
	return &wire.CacheAsk{Sum: c.Sum[:], TtlMs: c.TTL.Milliseconds(), MaxBytes: c.MaxBytes, MaxAgeMs: c.MaxAge.Milliseconds(), Fresh: c.Fresh, Only: c.Only, Shared: c.Shared}
}

// cacheFromWire is nil for what is no such thing: the call is served as any other then.
func cacheFromWire(w *wire.CacheAsk) *spec.CacheAsk {
	c := &spec.CacheAsk{TTL: millis(w.GetTtlMs()), MaxBytes: w.GetMaxBytes(), MaxAge: millis(w.GetMaxAgeMs()), Fresh: w.GetFresh(), Only: w.GetOnly(), Shared: w.GetShared()}
	if len(w.GetSum()) != len(c.Sum) {
		return nil
	}
	copy(c.Sum[:], w.GetSum())
	return c
}

// millis is within reason, whatever was sent.
func millis(ms int64) time.Duration {
	const most = int64(1 << 40)
	return time.Duration(max(0, min(ms, most))) * time.Millisecond
}

// setCached tells it in the answer's head.
func setCached(h http.Header, s spec.Stream) {
	c, ok := s.(spec.Cached)
	if !ok {
		return
	}
	if how, age := c.Cached(); how != "" {
		h.Set(hdrCached, string(how)+" "+strconv.FormatInt(age.Milliseconds(), 10))
	}
}

var _ spec.Cached = (*stream)(nil)

// Cached implements spec.Cached.
func (s *stream) Cached() (spec.CacheResult, time.Duration) {
	return parseCached(s.resp.Header.Get(hdrCached))
}

func parseCached(text string) (spec.CacheResult, time.Duration) {
	how, age, _ := strings.Cut(text, " ")
	switch r := spec.CacheResult(how); r {
	case spec.CacheHit, spec.CacheJoined, spec.CacheMiss:
		ms, err := strconv.ParseInt(age, 10, 64)
		if err != nil {
			ms = 0
		}
		return r, millis(ms)
	}
	return "", 0
}
