package shim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// readLines gives the lines of a file of testdata.
func readLines(t testing.TB, name string) (out [][]byte) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(raw)); s.Scan(); {
		out = append(out, bytes.Clone(s.Bytes()))
	}
	return out
}

// TestVersion1: what nodes of version 1 ask is understood, and what they understand is said. These files
// are never changed: engines started by that build run on under it.
func TestVersion1(t *testing.T) {
	claim := &Claim{Node: "n1", Boot: 1764115200000, Instance: "chat-1a2b", Epoch: 42, Linger: 120000, Grace: 10000}
	want := []request{
		{V: 1, ID: 1, Do: doDescribe},
		{V: 1, ID: 2, Do: doClaim, Claim: claim},
		{V: 1, ID: 3, Do: doLaunch, Note: []byte(`{"v":1}`), Launch: &Command{Path: "/usr/bin/llama-server", Args: []string{"-m", "/models/a.gguf"},
			Env: []string{"HOME=/tmp"}, Log: "/var/lib/lotabots/engines/chat-1a2b.log", Leash: true}},
		{V: 1, ID: 4, Do: doNote, Note: []byte(`{"v":1,"ready":true}`)},
		{V: 1, ID: 5, Do: doTail},
		{V: 1, ID: 6, Do: doStop, Grace: 5000},
		{V: 1, ID: 7, Do: doFence, Epoch: 43},
	}
	asked := readLines(t, "v1-requests.jsonl")
	if len(asked) != len(want) {
		t.Fatalf("%d requests", len(asked))
	}
	for i, line := range asked {
		got, no := parse(line)
		if no != nil || !reflect.DeepEqual(got, want[i]) {
			t.Errorf("%s:\n got %+v, %+v", line, got, no)
		}
	}
	for i, a := range []answer{
		{V: 1, ID: 2, State: &Description{Shim: 100, PID: 101, Phase: "running", Claim: *claim, Held: true, Note: []byte(`{"v":1}`), Cgroup: true}},
		{V: 1, ID: 3, Code: codeStart, Text: "no such file"},
		{V: 1, ID: 5, Tail: "loading | ready"},
		{V: 1, Event: eventEnded, Ended: &Ending{How: "its process ended: exit status 1", Why: "it was stopped", Tail: "bye"}},
		{V: 1, Event: eventDisplaced},
	} {
		said, err := frame(a)
		if known := readLines(t, "v1-answers.jsonl"); err != nil || string(bytes.TrimSpace(said)) != string(known[i]) {
			t.Errorf("answer %d is %s, and was %s", i, said, known[i])
		}
	}
}

func TestOtherGenerations(t *testing.T) {
	if _, no := parse([]byte(`{"v":99,"id":3,"do":"dance","claim":7}`)); no == nil || no.Code != codeVersion || no.ID != 3 || !reflect.DeepEqual(no.Speaks, []int{oldest, Version}) {
		t.Errorf("a version that comes: %+v", no)
	}
	if r, no := parse([]byte(`{"v":1,"id":3,"do":"tail","colour":"red"}`)); no != nil || r.ID != 3 {
		t.Errorf("a field that comes: %+v", no)
	}
	for _, line := range []string{`{"v":1,"do":"dance"}`, `{"v":1,"do":"claim"}`, `{"v":1,"do":"claim","claim":{"node":"n"}}`, `{"v":1,"do":"launch","launch":{}}`, `[]`, ``, `{"v":1,"do":"note","note":7}`} {
		if _, no := parse([]byte(line)); no == nil || no.Code != codeBad {
			t.Errorf("%s: %+v", line, no)
		}
	}
}

func TestLongMessages(t *testing.T) {
	if _, err := frame(request{Note: bytes.Repeat([]byte("x"), maxLine)}); err == nil {
		t.Error("a message of any length")
	}
	s := lines(strings.NewReader(strings.Repeat("x", maxLine+10) + "\n"))
	if s.Scan() || s.Err() == nil {
		t.Error("a line of any length is read")
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range readLines(f, "v1-requests.jsonl") {
		f.Add(line)
	}
	f.Add([]byte(`{"v":99}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, no := parse(line)
		if no != nil {
			if no.Code == "" || no.Text == "" {
				t.Errorf("refused without a reason: %+v", no)
			}
			return
		}
		if r.V < oldest || r.V > Version || r.Do == doClaim && r.Claim == nil || r.Do == doLaunch && r.Launch == nil {
			t.Errorf("understood: %+v", r)
		}
		if r.Claim != nil && (r.Claim.linger() < 0 || r.Claim.grace() < 0 || r.Claim.linger() > maxWait) {
			t.Errorf("waits of %s and %s", r.Claim.linger(), r.Claim.grace())
		}
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if again, no := parse(raw); no != nil || !reflect.DeepEqual(again, r) && len(r.Note) > 0 {
			t.Errorf("%s becomes %+v", raw, again)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, line := range readLines(f, "v1-answers.jsonl") {
		f.Add(line)
	}
	f.Fuzz(func(_ *testing.T, line []byte) {
		l := &Link{done: make(chan struct{})}
		l.mu.waiting = map[uint64]chan answer{2: make(chan answer, 1)}
		l.take(line)
		l.take(line) // twice: nobody waits any more
	})
}
