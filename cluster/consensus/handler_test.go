package consensus

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestRefusals sends the leader what it must not put into the log.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := c.start("n1", func(c *Config) {
		c.Authorise = func(r *http.Request, cmd *wire.Command) error {
			if cmd.GetPutSecret() != nil {
				return errors.New("only voters may write secrets")
			}
			return nil
		}
	})
	if err := s.Bootstrap("n1", s.port.Addr()); err != nil {
		t.Fatal(err)
	}
	old := node(s)
	old.Id, old.Roles, old.Level = "old", []string{"worker"}, 0 // a record without a level is of level 1
	c.must(s, putNode(old))
	stamped := func(cmd *wire.Command) []byte {
		raw, err := stamp(cmd)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	future := set("a", "b")
	future.Level = Level + 1
	unknown, _ := proto.Marshal(&wire.Command{RequestId: "x", AtMs: 1, Level: 1})
	for _, test := range []struct {
		name string
		body []byte
		code spec.Code
	}{
		{"bytes", []byte("\xff\xff"), spec.CodeInvalidRequest},
		{"no request id", must(proto.Marshal(&wire.Command{AtMs: 1, Level: 1, Body: set("a", "b").Body})), spec.CodeInvalidRequest},
		{"a level to come", stamped(future), spec.CodeFeatureLevel},
		{"a body to come", append(unknown, 0xfa, 0x3f, 0x00), spec.CodeFeatureLevel},
		{"a secret", stamped(&wire.Command{Body: &wire.Command_PutSecret{PutSecret: &wire.PutSecret{}}}), spec.CodeForbidden},
	} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/propose", bytes.NewReader(test.body)))
		if got := spec.Code(w.Header().Get(hdrCode)); got != test.code || w.Code != test.code.Lookup().Status {
			t.Errorf("%s: %d %q, want %q", test.name, w.Code, got, test.code)
		}
	}
	big := httptest.NewRecorder()
	s.Handler().ServeHTTP(big, httptest.NewRequest(http.MethodPost, "/propose", io.LimitReader(zeros{}, maxCommand+1)))
	if big.Code != http.StatusBadRequest || big.Header().Get(hdrNothing) == "" {
		t.Errorf("a huge command: %d", big.Code)
	}
	if _, err := s.Propose(within(time.Second), future); spec.CodeOf(err) != spec.CodeFeatureLevel {
		t.Errorf("a level to come, here: %v", err)
	}
	if len(s.fsm.order()) != 1 {
		t.Errorf("applied: %v", s.fsm.order())
	}
}

func TestFollowerNamesTheLeader(t *testing.T) {
	t.Parallel()
	c := grow(t, "n1", "n2")
	leader := c.leader("n1", "n2")
	follower := c.others(leader, "n1", "n2")[0]
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodPost, "/propose", nil), httptest.NewRequest(http.MethodGet, "/read-index", nil),
	} {
		w := httptest.NewRecorder()
		follower.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusMisdirectedRequest || w.Header().Get(hdrLeader) != leader.id {
			t.Errorf("%s: %d, leader %q", r.URL, w.Code, w.Header().Get(hdrLeader))
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func FuzzDecodeProposal(f *testing.F) {
	f.Add(must(stamp(set("a", "b"))))
	f.Add([]byte{})
	f.Add([]byte{0x08, 0x01, 0x12, 0x00})
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, e := decodeProposal(raw)
		if (c == nil) == (e == nil) {
			t.Fatalf("%v and %v", c, e)
		}
		if e != nil {
			return
		}
		if c.RequestId == "" || c.AtMs == 0 || c.Level == 0 {
			t.Fatalf("let in: %v", c)
		}
		if again, e := decodeProposal(must(proto.Marshal(c))); e != nil || !proto.Equal(again, c) {
			t.Fatalf("%v became %v, %v", c, again, e)
		}
	})
}
