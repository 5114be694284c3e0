package gateway

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/canonical"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/relay"
)

// A wish is what a client says of kept answers.
type wish struct {
	use, refresh, no bool
	maxAge           time.Duration // 0: any
}

// seeders are the engines whose answers depend on nothing else where a seed is given.
var seeders = []string{"embedded", "llama-server", "ollama", "vllm"}

// kept tells whether answers of the endpoint may be kept at all.
func kept(e openai.Endpoint) bool {
	return e.Body() == openai.JSON && !e.Raw() && e != openai.CountTokens
}

// recallable has the answer looked for among those that are kept, where the deployment
// keeps answers and the request is one whose answer may be.
func (x *inferring) recallable(r *request, d *deployment) error {
	c := d.GetCache()
	if c == nil || !kept(x.endpoint) {
		return nil
	}
	x.Bypass = true
	if x.Native != nil { // what an engine says in the client's own API is told from what is translated by its engine alone
		return nil
	}
	w, err := wished(&r.ctx.Request.Header)
	if err != nil || w.no {
		return err
	}
	purpose := x.Call.Path + "\n" + x.endpoint.String() + "\n" + d.adapter + "\n" + strconv.FormatBool(x.Call.Stream)
	req, unsure := canonical.Of(purpose, x.Body)
	if unsure != nil {
		return nil //nolint:nilerr // it is served, and not kept
	}
	always := x.endpoint == openai.Embeddings || x.endpoint == openai.Rerank || req.Greedy || req.Seeded && slices.Contains(seeders, d.GetEngine())
	if asked := w.use || w.refresh; !asked && (c.GetOpted() || !always) {
		return nil
	}
	x.Bypass = false
	x.Call.Cache = &spec.CacheAsk{Sum: req.Sum, TTL: time.Duration(c.GetTtlMs()) * time.Millisecond, MaxBytes: c.GetMaxBytes(),
		MaxAge: w.maxAge, Fresh: w.refresh, Shared: c.GetShare() && d.GetTenant() == ""}
	x.Query.Kept = binary.BigEndian.Uint64(req.Sum[:]) | 1
	return nil
}

// wished reads what the client says of kept answers: by the header that is for it, or
// else by Cache-Control as browsers and proxies do.
func wished(h *fasthttp.RequestHeader) (w wish, err error) {
	if text := h.Peek(relay.HeaderCache); len(text) > 0 {
		switch strings.ToLower(string(text)) {
		case "use":
			w.use = true
		case "refresh":
			w.refresh = true
		case "no":
			w.no = true
		default:
			return w, &spec.Error{Code: spec.CodeInvalidRequest, Param: relay.HeaderCache, Message: relay.HeaderCache + " must be use, refresh or no."}
		}
	}
	for part := range strings.SplitSeq(string(h.Peek(fasthttp.HeaderCacheControl)), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(part)), "=")
		switch name {
		case "no-store":
			w.no = true
		case "no-cache":
			w.refresh = true
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			switch {
			case err != nil:
			case seconds == 0:
				w.refresh = true
			default:
				w.maxAge = time.Duration(seconds) * time.Second
			}
		}
	}
	return w, nil
}
