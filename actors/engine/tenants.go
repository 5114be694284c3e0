package engine

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Mixing is what an engine has whose program may use for one tenant's request what it kept of another's: what it tells
// of that is then about more than the tenant that asks.
type Mixing interface {
	// Mixes is who has used the engine since its start; nil: it keeps tenants apart, or they may know of each other.
	Mixes() *Tenants
}

// MixedBy is e's; nil: nothing of e's has to be hidden from anybody.
func MixedBy(e Engine) *Tenants {
	m, ok := As[Mixing](e)
	if !ok {
		return nil
	}
	return m.Mixes()
}

// Tenants are those that have used one engine, as far as it matters: whether there was more than one. Methods may be
// called from any goroutine, and of nil.
type Tenants struct {
	first atomic.Pointer[string] // nil: nobody came yet
	many  atomic.Bool            // for good
}

// Serve takes in that a request of the tenant's is about to be sent.
func (t *Tenants) Serve(tenant string) {
	if t == nil || t.many.Load() {
		return
	}
	first := t.first.Load()
	if first == nil {
		own := strings.Clone(tenant)
		if t.first.CompareAndSwap(nil, &own) {
			return
		}
		first = t.first.Load()
	}
	if *first != tenant {
		t.many.Store(true)
	}
}

// Mix takes in that a request of several tenants is about to be sent.
func (t *Tenants) Mix() {
	if t != nil {
		t.many.Store(true)
	}
}

// Shared tells whether more than one tenant has used the engine.
func (t *Tenants) Shared() bool { return t != nil && t.many.Load() }

// alone is who has used the engine, if there was one at most.
func (t *Tenants) alone() []string {
	if first := t.first.Load(); first != nil {
		return []string{*first}
	}
	return []string{}
}

// apart is what a driver has whose program keeps prefixes apart by CacheSalt.
type apart interface{ apart() }

func (*embedded) apart() {}
func (*python) apart()   {}

// Mixes implements Mixing.
func (l *local) Mixes() *Tenants {
	if _, ok := l.driver.(apart); ok || l.spec.Options[sharePrefixes] == "on" {
		return nil
	}
	return &l.tenants
}

// Mixes implements Mixing. Who else uses such an engine, and who did before, is not known.
func (e *external) Mixes() *Tenants {
	if e.options[sharePrefixes] == "on" {
		return nil
	}
	return &e.tenants
}

// Hides tells whether a request to path is not for an engine that several tenants share: by Anthropic's count the
// tokens of a prompt are those that were not cached, and they cannot be hidden without its being wrong.
func (t *Tenants) Hides(path string) bool { return IsMessages(path) && t.Shared() }

// IsMessages tells whether path is that of Anthropic's Messages.
func IsMessages(path string) bool { return path == messagesPath }

// Unspoken is the answer of an engine that does not have an API, as vLLM says it: gateways then ask it in another form.
func Unspoken() *http.Response {
	const body = `{"detail":"Not Found"}`
	return &http.Response{StatusCode: http.StatusNotFound, Status: http.StatusText(http.StatusNotFound), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
}

// Tells tells whether an answer with that header to path may be JSON, or events, that tell of the engine's cache. None
// is compressed: engines are not asked for that.
func Tells(path string, answer http.Header) bool {
	if strings.HasPrefix(path, "/v1/audio/") || Field(answer, spec.HeadLengthHeader) != "" {
		return false
	}
	kind := Field(answer, "Content-Type")
	for _, other := range []string{"audio/", "image/", "video/", "application/octet-stream"} {
		if strings.HasPrefix(kind, other) {
			return false
		}
	}
	return true
}
