package gateway

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/coding"
)

// leastCompressed is the size below which an answer is one packet anyway.
const leastCompressed = 1 << 10

// compress puts a whole answer into the coding that the client wants most. Streams stay
// as they are: each of their pieces is to arrive at once.
func (r *request) compress() {
	ctx, h := r.ctx, &r.ctx.Response.Header
	if ctx.Response.IsBodyStream() || !compressible(h.ContentType()) || len(h.ContentEncoding()) > 0 {
		return
	}
	if len(h.PeekCanonical(nameVary)) == 0 {
		h.SetCanonical(nameVary, nameAcceptEncoding)
	} else {
		h.Add(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
	}
	accept := r.accepted()
	if accept == "" {
		return
	}
	plain := ctx.Response.Body()
	if ctx.IsHead() || bytes.Contains(h.PeekCanonical(nameCacheControl), []byte("no-transform")) {
		return
	}
	if len(plain) < leastCompressed && !mayExclude(accept) {
		return
	}
	chosen, may := coding.Choose(accept)
	if chosen == coding.Identity || may && len(plain) < leastCompressed {
		return
	}
	coded := coding.Compress(make([]byte, 0, len(plain)/3), chosen, plain)
	if may && len(coded) >= len(plain) {
		return
	}
	h.Set(fasthttp.HeaderContentEncoding, chosen)
	ctx.Response.SetBodyRaw(coded)
}

// accepted is what the client takes, of all of its headers that say it.
func (r *request) accepted() string {
	if len(r.field(&fieldAcceptEncoding)) == 0 {
		return ""
	}
	all := r.ctx.Request.Header.PeekAll(fasthttp.HeaderAcceptEncoding)
	if len(all) == 1 {
		return string(all[0])
	}
	return string(bytes.Join(all, []byte(",")))
}

// unreadable refuses who takes an answer neither as it is nor in any coding that is
// known here: before anything is done for it. Streams are not coded, whoever asks.
func (r *request) unreadable() *spec.Error {
	accept := r.accepted()
	if !mayExclude(accept) { // nearly always
		return nil
	}
	if chosen, plain := coding.Choose(accept); plain || chosen != coding.Identity {
		return nil
	}
	return &spec.Error{Code: spec.CodeNotAcceptable, Param: fasthttp.HeaderAcceptEncoding,
		Message: "Accept-Encoding excludes every coding that answers come in here: none at all, " + coding.Known + "."}
}

// mayExclude tells whether the header may say of an answer as it is that it is not acceptable.
func mayExclude(accept string) bool { return strings.Contains(accept, "=0") }

// jsonContent is what nearly every answer is.
const jsonContent = "application/json"

// compressible tells whether a content type is one of texts.
func compressible(contentType []byte) bool {
	if string(contentType) == jsonContent {
		return true
	}
	kind, _, _ := bytes.Cut(contentType, []byte(";"))
	kind = bytes.ToLower(bytes.TrimSpace(kind))
	return bytes.HasPrefix(kind, []byte("text/")) && string(kind) != "text/event-stream" ||
		bytes.HasSuffix(kind, []byte("json")) || bytes.HasSuffix(kind, []byte("xml")) || bytes.HasSuffix(kind, []byte("yaml"))
}

// restored is the body without its content coding, still at most limit bytes.
func (r *request) restored(coded []byte, limit int) ([]byte, error) {
	encoding := string(r.field(&fieldContentEncoding))
	if encoding == "" || r.ctx.IsGet() || r.ctx.IsHead() { // which have no body
		return coded, nil
	}
	plain, err := coding.Restore(encoding, coded, limit, r.hold)
	switch {
	case errors.Is(err, coding.ErrNoRoom):
		return nil, r.noRoom()
	case errors.Is(err, coding.ErrUnknown):
		return nil, r.notDecoded(encoding)
	case errors.Is(err, coding.ErrTooLarge):
		return nil, spec.Errorf(spec.CodeBodyTooLarge, "The body is larger than the limit of %d bytes once it is decompressed.", limit)
	case err != nil:
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Param: fasthttp.HeaderContentEncoding, Err: err,
			Message: "The body could not be decompressed: it is not whole, or no " + clip(encoding, 20) + "."}
	}
	return plain, nil
}

func (r *request) notDecoded(encoding string) error {
	r.ctx.Response.Header.Set(fasthttp.HeaderAcceptEncoding, coding.Known)
	return &spec.Error{Code: spec.CodeUnsupportedMedia, Param: fasthttp.HeaderContentEncoding,
		Message: "The Content-Encoding " + strconv.Quote(clip(encoding, 50)) + " is not read here.", Hint: "Send the body in one of " + coding.Known + ", or as it is."}
}
