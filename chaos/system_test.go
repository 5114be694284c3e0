package chaos

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/node/dev"
)

func valued(o Op, value string) Op { o.Value = value; return o }

func breaches(v Verdict) string {
	var out []string
	for _, b := range v.Violations {
		out = append(out, b.Text)
	}
	return strings.Join(out, "\n")
}

// TestRegistersAreJudged: each history but the first could not be.
func TestRegistersAreJudged(t *testing.T) {
	sound := []Op{
		op(OpGet, "n1", "d", Absent, 0, 5),
		by(1, valued(op(OpPut, "n1", "d", Done, 10, 30), "a")),
		by(2, valued(op(OpPut, "n2", "d", Done, 20, 40), "b")),
		valued(op(OpGet, "n3", "d", Done, 50, 55), "a"), // so b came first
		by(3, valued(op(OpPut, "n2", "d", Unknown, 60, 70), "c")),
		valued(op(OpGet, "n3", "d", Done, 80, 85), "a"),
		op(OpGet, "n3", "d", Unknown, 86, 87),
		by(1, op(OpDrop, "n1", "d", Refused, 88, 89)),
		by(4, op(OpDrop, "n1", "d", Done, 90, 95)),
		by(4, op(OpDrop, "n1", "d", Absent, 96, 97)),
		valued(op(OpGet, "n3", "d", Done, 100, 105), "c"), // it came through at last
		op(OpGet, "n3", "other", Absent, 106, 107),
	}
	if v := checkRegisters(&Evidence{Ops: sound}); len(v.Violations) != 0 || v.Looked != 10 {
		t.Errorf("looked at %d: %s", v.Looked, breaches(v))
	}
	for what, more := range map[string][]Op{
		"a lost put":          {valued(op(OpPut, "n1", "x", Done, 0, 1), "a"), op(OpGet, "n1", "x", Absent, 2, 3)},
		"a stale read":        {valued(op(OpPut, "n1", "x", Done, 0, 1), "a"), valued(op(OpPut, "n1", "x", Done, 2, 3), "b"), valued(op(OpGet, "n2", "x", Done, 4, 5), "a")},
		"a value from nobody": {valued(op(OpGet, "n2", "x", Done, 4, 5), "a")},
		"back from the dead":  {valued(op(OpPut, "n1", "x", Done, 0, 1), "a"), op(OpDrop, "n1", "x", Done, 2, 3), valued(op(OpGet, "n2", "x", Done, 4, 5), "a")},
		"dropped from under":  {op(OpDrop, "n1", "x", Done, 2, 3)},
		"not found, though":   {valued(op(OpPut, "n1", "x", Done, 0, 1), "a"), op(OpDrop, "n1", "x", Absent, 2, 3)},
	} {
		if v := checkRegisters(&Evidence{Ops: append(more, sound...)}); len(v.Violations) != 1 {
			t.Errorf("%s: %s", what, breaches(v))
		}
	}
}

func TestLostKeysAreSeen(t *testing.T) {
	last := func(key, result string) Op { return by(lastLook, op(OpRead, "n3", key, result, 1000, 1001)) }
	sound := []Op{
		op(OpCreate, "n1", "a", Done, 0, 1), op(OpCreate, "n1", "b", Done, 0, 1), op(OpCreate, "n1", "c", Done, 0, 1), op(OpCreate, "n1", "", Unknown, 0, 1),
		op(OpRevoke, "n1", "b", Done, 2, 3), op(OpRevoke, "n1", "c", Unknown, 2, 3), op(OpRead, "n1", "a", Absent, 4, 5),
		last("a", Live), last("b", Revoked), last("c", Live), last("c", Revoked),
	}
	if v := checkKept(&Evidence{Ops: sound}); len(v.Violations) != 0 || v.Looked != 4 {
		t.Errorf("looked at %d: %s", v.Looked, breaches(v))
	}
	for _, o := range []Op{last("a", Absent), last("b", Live), last("a", Revoked), last("b", Absent)} {
		if v := checkKept(&Evidence{Ops: append([]Op{o}, sound...)}); len(v.Violations) != 1 {
			t.Errorf("%s read as %s: %s", o.Key, o.Result, breaches(v))
		}
	}
}

func TestStatesAreCompared(t *testing.T) {
	for _, c := range []struct {
		hashes map[string]StateHash
		wrong  int
	}{
		{map[string]StateHash{"n1": {4, "x"}, "n2": {4, "x"}}, 0},
		{map[string]StateHash{"n1": {4, "x"}, "n2": {4, "y"}, "n3": {4, "x"}}, 1},
		{map[string]StateHash{"n1": {4, "x"}, "n2": {5, "x"}}, 1},
		{map[string]StateHash{"n1": {}, "n2": {}}, 2},
		{nil, 1},
	} {
		if v := checkStates(c.hashes); len(v.Violations) != c.wrong {
			t.Errorf("%v: %s", c.hashes, breaches(v))
		}
	}
}

// TestAWriteWithoutAnOutcomeIsSentAgain, under the same idempotency key, and is
// one operation.
func TestAWriteWithoutAnOutcomeIsSentAgain(t *testing.T) {
	var answers []int
	keys := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys[r.Header.Get("Idempotency-Key")]++
		status := answers[0]
		answers = answers[1:]
		code := map[int]string{503: "outcome_unknown", 502: "no_leader", 404: "not_found"}[status]
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"error":{"code":"` + code + `"}}`))
	}))
	defer server.Close()
	r := &registry{history: NewHistory(), web: newHTTP()}
	nodes := func() node { return node{Node: dev.Node{ID: "n1", API: server.URL}} }
	for _, c := range []struct {
		answers []int
		want    string
	}{
		{[]int{200}, Done},
		{[]int{503, 200}, Done},
		{[]int{503, 502, 503, 404}, Absent},
		{[]int{502}, Refused},
		{[]int{503, 502, 502, 502, 502}, Unknown}, // the first may have come through
	} {
		clear(keys)
		answers = c.answers
		if o := r.put(t.Context(), nodes, "d", "v", 1); o.Result != c.want || o.Value != "v" || len(answers) != 0 {
			t.Errorf("%v: %+v, %d answers left", c.answers, o, len(answers))
		}
		if len(keys) != 1 {
			t.Errorf("%v: %d idempotency keys", c.answers, len(keys))
		}
	}
	if got := len(r.history.Ops()); got != 5 {
		t.Errorf("%d operations", got)
	}
}
