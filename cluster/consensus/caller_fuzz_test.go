package consensus

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/lotabots/lotabots/cluster/wire"
	"google.golang.org/protobuf/proto"
)

// said is a node that always answers the same.
type said struct {
	status int
	header http.Header
	body   []byte
}

func (s said) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: s.status, Header: s.header, Body: io.NopCloser(bytes.NewReader(s.body))}, nil
}

// FuzzAnswers: whatever another node answers, a write is never taken for not begun unless the
// node says so, and nothing of it makes this one fall.
func FuzzAnswers(f *testing.F) {
	f.Add(200, "", "", must(proto.Marshal(&wire.Result{Code: "conflict"})))
	f.Add(421, "n2", "", []byte("no leader"))
	f.Add(409, "", "conflict", []byte("changed"))
	f.Add(500, "", "", []byte(`{"leader":"n1","term":18446744073709551615}`))
	f.Fuzz(func(t *testing.T, status int, leader, code string, body []byte) {
		h := http.Header{}
		h.Set(hdrLeader, leader)
		h.Set(hdrCode, code)
		c := &caller{http: &http.Client{Transport: said{status, h, body}}}
		result, err := c.propose(context.Background(), "n2", []byte("x"))
		if (result == nil) == (err == nil) {
			t.Fatalf("%v and %v", result, err)
		}
		var other *notLeader
		begun := err != nil && status != http.StatusNotFound && code == "" && !errors.As(err, &other)
		if begun && !errors.Is(err, errMaybe) && (status < 300 || status > 399) {
			t.Fatalf("%v is told as nothing begun", err)
		}
		_, _ = c.readIndex(context.Background(), "n2")
		_, _ = c.leader(context.Background(), "n2")
	})
}
