package gateway

import (
	"errors"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
)

// malformations are why a request could not be read, by how the server's errors begin: it
// has no values for most of them.
var malformations = []struct{ begins, param, told string }{
	{"cannot parse content-length", fasthttp.HeaderContentLength, "is not a number"},
	{"fasthttp: duplicate content-length", fasthttp.HeaderContentLength, "is given more than once"},
	{"too many transfer-encoding", fasthttp.HeaderTransferEncoding, "is given more than once"},
	{"unsupported transfer-encoding", fasthttp.HeaderTransferEncoding, "must be chunked, and needs HTTP/1.1"},
	{"fasthttp: unsupported transfer-encoding", fasthttp.HeaderTransferEncoding, "must be chunked, and needs HTTP/1.1"},
	{"fasthttp: contain forbidden trailer", fasthttp.HeaderTrailer, "names a header that may not come behind a body"},
	{"too many host", fasthttp.HeaderHost, "is given more than once"},
	{"missing required host", fasthttp.HeaderHost, "is missing"},
	{"malformed mime header", "", "one of its headers is not NAME: VALUE"},
	{"invalid header key", "", "the name of one of its headers is not valid"},
	{"invalid header value", "", "the value of one of its headers is not valid"},
	{"cannot find http request method", "", "it does not begin with a method"},
	{"unsupported http request method", "", "its method is not valid"},
	{"cannot find whitespace in the first line", "", "its first line is not METHOD PATH HTTP/1.1"},
	{"unsupported http version", "", "its first line does not end with HTTP/1.1"},
	{"request uri cannot be empty", "", "its first line has no path"},
	{"invalid request uri", "", "its path is not valid"},
}

// malformed tells of a request that is no HTTP, with the cause where it is known.
func malformed(err error, limit int) *spec.Error {
	for ; err != nil; err = errors.Unwrap(err) {
		text := err.Error()
		for _, m := range malformations {
			switch {
			case !strings.HasPrefix(text, m.begins):
			case m.param == fasthttp.HeaderContentLength && strings.HasSuffix(text, "too long int"):
				return spec.Errorf(spec.CodeBodyTooLarge, "The body is larger than the limit of %d bytes: its Content-Length is no number that could be one.", limit)
			case m.param != "":
				return &spec.Error{Code: spec.CodeInvalidRequest, Param: m.param, Message: m.param + " " + m.told + "."}
			default:
				return spec.Errorf(spec.CodeInvalidRequest, "The request could not be read as HTTP/1.1: %s.", m.told)
			}
		}
	}
	return spec.Errorf(spec.CodeInvalidRequest, "The request could not be read as HTTP/1.1.")
}

// errorsAt is the form in which errors are told at a path, whatever became of the request.
func errorsAt(path []byte) (errorForm, bool) {
	switch {
	case under(path, "/v1/messages"):
		return anthropicErrors, true
	case string(path) == "/v2", len(path) > 3 && string(path[:4]) == "/v2?", under(path, "/v2/models"), under(path, "/v2/health"):
		return kserveErrors, true // and /v2/rerank is another API's
	}
	return openaiErrors, false
}

// under tells whether the path is that of a place or of one within it.
func under(path []byte, place string) bool {
	n := len(place)
	return len(path) >= n && string(path[:n]) == place && (len(path) == n || path[n] == '/' || path[n] == '?')
}

// pathOf is the path of a request that could not be read, as the server's error quotes its
// beginning; empty: it does not.
func pathOf(err error) string {
	_, head, _ := strings.Cut(err.Error(), `contents: "`)
	parts := strings.SplitN(head, " ", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[1]
}
