package relay

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Headers of answers of deployments that keep answers.
const (
	// HeaderCache is hit, joined, miss, or bypass where none was looked for. Clients say by
	// it what they want: use, refresh or no.
	HeaderCache = "X-LotaBots-Cache"
	// HeaderCacheKey names the canonical request, by which its answer can be purged.
	HeaderCacheKey = "X-LotaBots-Cache-Key"
	cacheBypass    = "bypass"
)

// A cached is how an attempt was answered.
type cached struct {
	how spec.CacheResult
	age time.Duration
}

// free tells whether it took no engine's time.
func (c cached) free() bool { return c.how == spec.CacheHit || c.how == spec.CacheJoined }

// recall asks where the answer is kept, if it is kept anywhere, before the request waits
// for a place. Where there is room the answer is made there as well. done: the request
// has its answer, or its error.
func (x *Exchange) recall() (done bool, err error) {
	if x.resuming { // what is asked for now is the rest of an answer
		x.Call.Cache, x.cached = nil, cached{}
		return false, nil
	}
	whole := x.Call.Cache
	done, err = x.recallOnce(whole)
	if !errors.Is(err, errPoisoned) {
		return done, err
	}
	x.r.cfg.Log.Warn("a kept answer is none, and is made anew", "request_id", x.Call.RequestID, "instance", x.grant.Target.Instance, "error", err)
	again := *whole
	again.Fresh = true
	return x.recallOnce(&again)
}

// errPoisoned says that what was kept is no answer. It is nobody's fault who is there now.
var errPoisoned = errors.New("what was kept is no answer")

// recallOnce leaves whole with the call, for who asks elsewhere.
func (x *Exchange) recallOnce(whole *spec.CacheAsk) (done bool, err error) {
	x.cached = cached{}
	x.Call.Cache = whole
	if err := x.attempt(); err != nil {
		return true, x.explain(x.blame(err))
	}
	grant, may, ok := x.r.cfg.Table.Named(&x.Query)
	if !ok {
		x.drop()
		return false, nil
	}
	defer func() {
		if x.Call.Cache != nil {
			x.Call.Cache = whole
		}
	}()
	ask := *whole
	ask.Only = !may
	x.grant, x.Call.Cache = grant, &ask
	if err = x.open(); err == nil {
		err = x.receive()
	}
	if err == nil {
		x.grant.Answered()
		return true, nil
	}
	var refused *spec.Rejection
	if errors.As(err, &refused) && refused.Reason == spec.RejectBusy {
		x.grant.Unkept(refused)
		x.out.Attempts--
		x.drop()
		return false, nil
	}
	if x.cached.how == spec.CacheHit && (errors.Is(err, errNoAnswer) || errors.Is(err, errUnfinished)) {
		x.drop()
		return false, fmt.Errorf("%w: %w", errPoisoned, err)
	}
	if final := x.judge(err); final != nil {
		return true, x.explain(final)
	}
	return false, nil
}

// recalled takes note of how the attempt's stream is answered. What takes no place of
// the instance's is not counted there.
func (x *Exchange) recalled() {
	if c, ok := x.stream.(spec.Cached); ok {
		x.cached.how, x.cached.age = c.Cached()
	}
	if x.cached.free() {
		x.grant.Free()
	} else {
		x.grant.Made()
	}
}

// others tells whether what failed the attempt was another request's answer, or one that
// was kept: that says nothing of the instance that was asked, which the next attempt may
// be for again.
func (x *Exchange) others(err error) bool {
	return x.cached.free() || errors.Is(err, spec.ErrJoined) || errors.Is(err, spec.ErrBehind)
}

// setCached tells the client.
func (x *Exchange) setCached(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	switch {
	case x.cached.how != "":
		h.Set(HeaderCache, string(x.cached.how))
	case x.Bypass, x.Call.Cache != nil:
		h.Set(HeaderCache, cacheBypass)
	}
	if x.cached.how == spec.CacheHit {
		h.Set("Age", strconv.FormatInt(int64(x.cached.age/time.Second), 10))
	}
	if x.Call.Cache != nil {
		h.Set(HeaderCacheKey, hex.EncodeToString(x.Call.Cache.Sum[:]))
	}
}
