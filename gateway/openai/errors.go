package openai

import (
	"strconv"
	"unicode/utf8"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Problem is one thing wrong with a request.
type Problem struct {
	Param   string
	Message string
}

// TypeOf returns OpenAI's error type for a code.
func TypeOf(code spec.Code) string {
	if code == spec.CodeRateLimited || code == spec.CodeBusy || code == spec.CodeTooManyFailures {
		return "rate_limit_error"
	}
	if code == spec.CodeBudget {
		return "insufficient_quota"
	}
	switch status := code.Lookup().Status; {
	case status == 401:
		return "authentication_error"
	case status == 403:
		return "permission_error"
	case status == 404:
		return "not_found_error"
	case status == 409:
		return "conflict_error"
	case status >= 400 && status < 500:
		return "invalid_request_error"
	default:
		return "api_error"
	}
}

// AppendError appends the one error object of this API to dst:
//
//	{"error":{"message","type","param","code","hint","request_id","doc_url","engine_code","errors":[{"param","message"}]}}
func AppendError(dst []byte, e *spec.Error, requestID string, problems []Problem) []byte {
	dst = append(dst, `{"error":{"message":`...)
	dst = appendString(dst, e.Message)
	return append(appendDetails(dst, e, requestID, problems), "}}"...)
}

// DocURL is where the server that answers tells of a code.
func DocURL(code spec.Code) string { return "/docs#error-" + string(code) }

// AppendKServeError appends the same as KServe's clients look for it: error is the
// message, and what else there is stands beside it.
func AppendKServeError(dst []byte, e *spec.Error, requestID string, problems []Problem) []byte {
	dst = append(dst, `{"error":`...)
	dst = appendString(dst, e.Message)
	return append(appendDetails(dst, e, requestID, problems), '}')
}

// appendDetails appends what there is beside the message.
func appendDetails(dst []byte, e *spec.Error, requestID string, problems []Problem) []byte {
	dst = append(dst, `,"type":"`...)
	dst = append(dst, TypeOf(e.Code)...)
	dst = append(dst, `","param":`...)
	if e.Param == "" {
		dst = append(dst, "null"...)
	} else {
		dst = appendString(dst, e.Param)
	}
	dst = append(dst, `,"code":`...)
	dst = appendString(dst, string(e.Code))
	dst = append(dst, `,"hint":`...)
	dst = appendString(dst, e.Advice())
	dst = append(dst, `,"request_id":`...)
	dst = appendString(dst, requestID)
	dst = append(dst, `,"doc_url":`...)
	dst = appendString(dst, DocURL(e.Code))
	if e.EngineCode != "" {
		dst = append(dst, `,"engine_code":`...)
		dst = appendString(dst, e.EngineCode)
	}
	if len(problems) == 0 {
		return dst
	}
	dst = append(dst, `,"errors":[`...)
	for i, p := range problems {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"param":`...)
		dst = appendString(dst, p.Param)
		dst = append(dst, `,"message":`...)
		dst = appendString(dst, p.Message)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// AppendErrorEvent appends e as an event of a stream.
func AppendErrorEvent(dst []byte, e *spec.Error, requestID string) []byte {
	dst = append(dst, "event: error\ndata: "...)
	dst = AppendError(dst, e, requestID, nil)
	return append(dst, "\n\n"...)
}

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string; bytes that are no UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c < 0x20 || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}

// AppendDuration appends d in the form of OpenAI's rate limit headers: 250ms, 12s, 6m0s.
func AppendDuration(dst []byte, ms int64) []byte {
	switch {
	case ms < 1000:
		return append(strconv.AppendInt(dst, max(ms, 0), 10), "ms"...)
	case ms < 60_000:
		return append(strconv.AppendInt(dst, (ms+999)/1000, 10), 's')
	default:
		s := (ms + 999) / 1000
		dst = append(strconv.AppendInt(dst, s/60, 10), 'm')
		return append(strconv.AppendInt(dst, s%60, 10), 's')
	}
}
