package join

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/wire"
)

type answers struct {
	status int
	body   []byte
}

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(bytes.NewReader(a.body))}, nil
}

// FuzzJoinAnswer: whatever a seed answers, nobody is in a cluster by it without a certificate of
// the token's authority.
func FuzzJoinAnswer(f *testing.F) {
	for _, a := range []*wire.JoinResponse{
		{Code: "join_token_expired", Message: "m"},
		{Certificate: []byte{0x30, 0x03, 0x02, 0x01, 0x00}, Authority: []byte{0x30}, GossipKey: make([]byte, 32), ClusterId: "c"}, {},
	} {
		raw, err := proto.Marshal(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(200, raw)
	}
	f.Add(503, []byte{})
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		resp, err := do(context.Background(), &http.Client{Transport: answers{status, body}}, "POST", "http://seed/join", nil)
		if err != nil {
			return
		}
		if status != http.StatusOK && resp.GetCode() == "" {
			t.Fatalf("status %d is no refusal", status)
		}
		if err := check(RequestConfig{Member: &wire.Member{Id: "w1"}}, pki.Token{}, resp); err == nil && resp.GetCode() == "" {
			t.Fatalf("%v is believed", resp)
		}
	})
}
