package infer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// failing is a node whose opener fails with err.
func failing(t *testing.T, err error) *rig {
	return newRig(t, opener(func(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) { return nil, err }), Config{})
}

func TestARejectionKeepsReasonAndLoad(t *testing.T) {
	load := spec.Load{Instance: "i1", Slots: 2, Running: 2, Seq: 5}
	_, err := failing(t, &spec.Rejection{Reason: spec.RejectBusy, RetryAfter: 1500 * time.Millisecond, Load: &load}).open(t.Context(), "{}")
	var r *spec.Rejection
	if !errors.As(err, &r) || r.Reason != spec.RejectBusy || r.RetryAfter != 1500*time.Millisecond || r.Load == nil {
		t.Fatalf("got %+v", err)
	}
	if time.Since(r.Load.At) > time.Minute {
		t.Errorf("learnt at %v", r.Load.At)
	}
	r.Load.At = time.Time{}
	if *r.Load != load {
		t.Errorf("load %+v", *r.Load)
	}
	_, err = failing(t, &spec.Rejection{Reason: "odd\r\nreason\x00"}).open(t.Context(), "{}")
	if !errors.As(err, &r) || r.Reason != "odd??reason?" || r.Load != nil || r.RetryAfter != 0 {
		t.Errorf("got %+v", err)
	}
}

func TestAnErrorKeepsItsCode(t *testing.T) {
	for code := range spec.Catalogue {
		sent := &spec.Error{Code: code, Message: "Müde.", Param: "p", Hint: "h", Err: errors.New("secret cause")}
		_, err := failing(t, sent).open(t.Context(), "{}")
		var got *spec.Error
		if !errors.As(err, &got) || got.Code != code || got.Message != "Müde." || got.Param != "p" || got.Hint != "h" || got.Err != nil {
			t.Errorf("%s: got %+v", code, err)
		}
	}
	_, err := failing(t, &spec.Error{Code: spec.CodeUpstream, Message: "m", Err: spec.ErrBroken}).open(t.Context(), "{}")
	if !errors.Is(err, spec.ErrBroken) {
		t.Errorf("that it broke is lost: %v", err)
	}
	_, err = failing(t, errors.New("/secret/path")).open(t.Context(), "{}")
	if spec.CodeOf(err) != spec.CodeUpstream || strings.Contains(err.Error(), "secret") {
		t.Errorf("an internal error became %v", err)
	}
	if _, err := newRig(t, nil, Config{}).open(t.Context(), "{}"); !strings.Contains(err.Error(), spec.RejectNotLoaded) {
		t.Errorf("a node without devices says %v", err)
	}
}

func TestUnreachedAndMaybeBegun(t *testing.T) {
	r := newRig(t, opener(func(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) {
		panic(http.ErrAbortHandler)
	}), Config{})
	for _, node := range []spec.NodeID{"c", "no such", ""} {
		if _, err := r.client.Open(t.Context(), spec.Target{Node: node}, spec.Call{}, nil); !errors.Is(err, ErrUnreached) {
			t.Errorf("node %q: %v", node, err)
		}
	}
	if _, err := r.open(t.Context(), "{}"); err == nil || errors.Is(err, ErrUnreached) {
		t.Errorf("a request that arrived: %v", err)
	}
	begun := make(chan struct{})
	r = newRig(t, opener(func(ctx context.Context, _ spec.Target, _ spec.Call, _ []byte) (spec.Stream, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}), Config{})
	go func() { <-begun; r.conns.cut() }()
	if _, err := r.open(t.Context(), "{}"); err == nil || errors.Is(err, ErrUnreached) {
		t.Errorf("a request cut off while it was being opened: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.open(gone, "{}"); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreached) {
		t.Errorf("cancelled before: %v", err)
	}
	_, err := r.client.Open(t.Context(), spec.Target{Node: "b"}, spec.Call{Tenant: strings.Repeat("x", maxCall)}, nil)
	if spec.CodeOf(err) != spec.CodeInvalidRequest {
		t.Errorf("a call beyond its frame: %v", err)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"no kind":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "what?", 404) },
		"no status": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(hdrKind, kindStream) },
		"odd status": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(hdrKind, kindStream)
			w.Header().Set(hdrStatus, "99")
		},
		"empty error": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(hdrKind, kindError) },
		"no JSON": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(hdrKind, kindError)
			_, _ = io.WriteString(w, "<html>")
		},
		"a grant here": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(hdrKind, kindQuota) },
	} {
		r := serveH(t, h)
		if s, err := r.open(t.Context(), "{}"); err == nil || s != nil || errors.Is(err, ErrUnreached) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestLargeBodies(t *testing.T) {
	body := bytes.Repeat([]byte("lotabots"), 1<<20) // 8 MiB
	want := sha256.Sum256(body)
	echo := opener(func(_ context.Context, _ spec.Target, _ spec.Call, b []byte) (spec.Stream, error) {
		return whole(bytes.NewReader(b)), nil
	})
	s, err := newRig(t, echo, Config{MaxBody: 8 << 20}).client.Open(t.Context(), spec.Target{Node: "b"}, spec.Call{}, body)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, err := io.ReadAll(s)
	if err != nil || sha256.Sum256(all) != want {
		t.Errorf("%d bytes came back, %v", len(all), err)
	}
	for name, c := range map[string]Config{
		"over the limit": {MaxBody: 8<<20 - 1},
		"not allowed":    {May: func(*http.Request) error { return errors.New("it is removed") }},
	} {
		_, err := newRig(t, echo, c).client.Open(t.Context(), spec.Target{Node: "b"}, spec.Call{}, body)
		if code := spec.CodeOf(err); code != spec.CodeBodyTooLarge && code != spec.CodeForbidden {
			t.Errorf("%s: %v", name, err)
		}
		clear(body) // ours again: the race detector sees to it
	}
}

func TestDeadlinesTravelAsWhatRemains(t *testing.T) {
	r := newRig(t, opener(func(ctx context.Context, _ spec.Target, call spec.Call, _ []byte) (spec.Stream, error) {
		until, ok := ctx.Deadline()
		if !ok || !until.Equal(call.Deadline) {
			t.Errorf("context %v, call %v", until, call.Deadline)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}), Config{})
	_, err := r.client.Open(t.Context(), spec.Target{Node: "b"}, spec.Call{Deadline: time.Now().Add(50 * time.Millisecond)}, nil)
	if spec.CodeOf(err) != spec.CodeDeadline {
		t.Errorf("got %v", err)
	}
	var call spec.Call
	call.Deadline = time.Now().Add(-time.Hour) // the gateway's clock is an hour behind
	ctx, cancel := withDeadline(t.Context(), "60000", &call)
	defer cancel()
	if left := time.Until(call.Deadline); left < 50*time.Second || left > time.Minute || ctx.Err() != nil {
		t.Errorf("%v left, %v", left, ctx.Err())
	}
	for _, odd := range []string{"", "-1", "x", "99999999999999999999"} {
		call.Deadline = time.Time{}
		ctx, cancel := withDeadline(t.Context(), odd, &call)
		if _, ok := ctx.Deadline(); ok {
			t.Errorf("%q made a deadline", odd)
		}
		cancel()
	}
}

func TestTheCertificateNamesTheGateway(t *testing.T) {
	for _, known := range []bool{true, false} {
		r := newRig(t, opener(func(_ context.Context, _ spec.Target, call spec.Call, _ []byte) (spec.Stream, error) {
			return whole(strings.NewReader(string(call.Gateway))), nil
		}), Config{Peer: func(*http.Request) (spec.NodeID, bool) { return "real", known }})
		s, err := r.client.Open(t.Context(), spec.Target{Node: "b"}, spec.Call{Gateway: "claimed"}, nil)
		if !known {
			if spec.CodeOf(err) != spec.CodeForbidden {
				t.Errorf("without a certificate: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if all, err := io.ReadAll(s); string(all) != "real" || err != nil {
			t.Errorf("got %q, %v", all, err)
		}
	}
}

func TestQuota(t *testing.T) {
	r := newRig(t, nil, Config{
		Peer: func(*http.Request) (spec.NodeID, bool) { return "a", true },
		Quota: func(_ context.Context, peer spec.NodeID, q *wire.QuotaRequest) (*wire.QuotaGrant, error) {
			switch {
			case q.Limit == "none":
				return nil, nil
			case q.Limit == "busy":
				return nil, spec.Errorf(spec.CodeBusy, "wait")
			}
			return &wire.QuotaGrant{Granted: q.Want, Remaining: uint32(len(peer))}, nil
		}})
	g, err := r.client.Quota(t.Context(), "b", &wire.QuotaRequest{Limit: "key/x", Want: 7})
	if err != nil || g.Granted != 7 || g.Remaining != 1 {
		t.Errorf("got %v, %v", g, err)
	}
	for limit, code := range map[string]spec.Code{"none": spec.CodeInternal, "busy": spec.CodeBusy, strings.Repeat("x", MaxQuota): spec.CodeInvalidRequest} {
		if _, err := r.client.Quota(t.Context(), "b", &wire.QuotaRequest{Limit: limit}); spec.CodeOf(err) != code {
			t.Errorf("limit %.10s: %v", limit, err)
		}
	}
	if _, err := newRig(t, nil, Config{}).client.Quota(t.Context(), "b", &wire.QuotaRequest{}); spec.CodeOf(err) != spec.CodeNotFound {
		t.Errorf("no owner: %v", err)
	}
	if _, err := r.client.Quota(t.Context(), "c", &wire.QuotaRequest{}); err == nil {
		t.Error("a node that is not there granted something")
	}
}

func TestResultsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	from, to := io.Pipe()
	defer to.Close()
	h := Handler(opener(func(ctx context.Context, _ spec.Target, _ spec.Call, body []byte) (spec.Stream, error) {
		switch string(body) {
		case "gone":
			return whole(from), nil
		case "rejected":
			return nil, &spec.Rejection{Reason: spec.RejectBusy}
		case "error":
			return nil, spec.Errorf(spec.CodeInternal, "x")
		case "broken":
			return whole(io.MultiReader(strings.NewReader("x"), errReader{})), nil
		}
		return whole(strings.NewReader("x")), nil
	}), Config{Registerer: reg})
	r := serveH(t, h)
	for _, body := range []string{"ok", "rejected", "error", "broken", "gone"} {
		stream, err := r.open(t.Context(), body)
		if err != nil {
			continue
		}
		if body != "gone" {
			_, _ = io.ReadAll(stream)
		}
		_ = stream.Close()
	}
	want := func() bool { // one of each result, and none is under way
		found, err := reg.Gather()
		results, running := 0, 1.0
		for _, family := range found {
			switch family.GetName() {
			case "lotabots_infer_served_requests_total":
				results = len(family.GetMetric())
			case "lotabots_infer_running_requests":
				running = family.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return err == nil && results == 5 && running == 0
	}
	for end := time.Now().Add(30 * time.Second); !want(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not every result was counted")
		}
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("the engine died") }

// TestRemaining: the serving node is told no earlier end than the gateway's own.
func TestRemaining(t *testing.T) {
	for left, want := range map[time.Duration]string{-time.Hour: "0", 0: "0", 1: "1", time.Millisecond: "1", 50*time.Millisecond - 1: "50", 50*time.Millisecond + 1: "51"} {
		if got := remainingText(left); got != want {
			t.Errorf("%v left: told %s ms, not %s", left, got, want)
		}
	}
}

// TestWhatIsSharedIsTold: whose failure it is, and that others went on.
func TestWhatIsSharedIsTold(t *testing.T) {
	joined := fmt.Errorf("%w: %w", spec.ErrJoined, &spec.Error{Code: spec.CodeUpstream, Message: "x", Err: spec.ErrBroken})
	for _, own := range []error{joined, &spec.Error{Code: spec.CodeUpstream, Message: "x"}} {
		_, err := failing(t, own).open(t.Context(), "{}")
		if errors.Is(err, spec.ErrJoined) != errors.Is(own, spec.ErrJoined) || errors.Is(err, spec.ErrBroken) != errors.Is(own, spec.ErrBroken) || spec.CodeOf(err) != spec.CodeUpstream {
			t.Errorf("%v arrives as %v", own, err)
		}
	}
	for _, cause := range []error{fmt.Errorf("%w: %w", spec.ErrBroken, spec.ErrBehind), spec.ErrBroken} {
		r := newRig(t, opener(func(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) {
			return whole(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(cause))), nil
		}), Config{})
		s := r.must(t.Context(), "")
		if _, err := io.ReadAll(s); !errors.Is(err, spec.ErrBroken) || errors.Is(err, spec.ErrBehind) != errors.Is(cause, spec.ErrBehind) {
			t.Errorf("%v arrives as %v", cause, err)
		}
		_ = s.Close()
	}
}
