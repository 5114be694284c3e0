package gateway

import (
	"bufio"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestFields: what is there is found, however its name is written and whatever else is there, and
// what is not is mostly known not to be.
func TestFields(t *testing.T) {
	usual := "Host: h\r\nUser-Agent: OpenAI/Python 1.0\r\nAccept: application/json\r\nContent-Length: 0\r\nContent-Type: application/json\r\nCookie: a=b\r\nX-Stainless-Lang: python\r\n"
	known := []*field{&fieldAcceptEncoding, &fieldAnthropicVersion, &fieldAPIKey, &fieldAuthorization, &fieldContentEncoding, &fieldDeadline, &fieldPriority,
		&fieldRequestID, &fieldSession, &fieldTrace, &fieldTraceParent, &fieldsTimeout[0], &fieldsTimeout[1]}
	missed := 0
	for _, f := range known {
		r := requestWith(t, usual+strings.ToLower(string(f.name))+": x\r\n")
		for _, other := range known {
			switch found := string(r.field(other)); {
			case (found == "x") != (other == f):
				t.Errorf("with %s, %s is %q", f.name, other.name, found)
			case other != f && r.head.lacks&other.in == 0:
				missed++
			}
		}
	}
	if all := len(known) * (len(known) - 1); missed > all/4 {
		t.Errorf("%d times of %d it was looked for what is not there", missed, all)
	}
}

// TestFieldsAfterTheBody: of a body in chunks they may come after it.
func TestFieldsAfterTheBody(t *testing.T) {
	r := requestWith(t, "Host: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-LotaBots-Priority\r\n")
	if r.head.lacks != 0 || len(r.field(&fieldPriority)) > 0 {
		t.Errorf("%b is lacked", r.head.lacks)
	}
	if err := r.ctx.Request.Header.ReadTrailer(bufio.NewReader(strings.NewReader("X-LotaBots-Priority: high\r\n\r\n"))); err != nil || string(r.field(&fieldPriority)) != "high" {
		t.Errorf("%q, %v", r.field(&fieldPriority), err)
	}
}

func requestWith(t *testing.T, fields string) *request {
	t.Helper()
	ctx := new(fasthttp.RequestCtx)
	if err := ctx.Request.Header.Read(bufio.NewReader(strings.NewReader("POST /v1/chat/completions HTTP/1.1\r\n" + fields + "\r\n"))); err != nil {
		t.Fatal(err)
	}
	r := &request{ctx: ctx}
	r.head.lacks = lackedBy(&ctx.Request.Header)
	return r
}
