package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/balance"
)

// A scripted engine answers each attempt with what it says and how it ends.
type scripted struct {
	t      *testing.T
	answer func(attempt int, body []byte) (string, error)
	status int // of attempts after the first; 0: 200
	step   int // bytes of a read; 0: all
	calls  []spec.Call
	at     []spec.NodeID
	open   int
	older  string // nodes whose instances are of the version before
}

type script struct {
	*scripted
	text   string
	err    error
	status int
}

func (s *scripted) Open(_ context.Context, to spec.Target, call spec.Call, body []byte) (spec.Stream, error) {
	s.calls, s.at = append(s.calls, call), append(s.at, to.Node)
	if !json.Valid(body) {
		s.t.Fatalf("attempt %d got %s", call.Attempt, body)
	}
	text, err := s.answer(call.Attempt, body)
	s.open++
	out := &script{scripted: s, text: text, err: err, status: 200}
	if call.Attempt > 1 && s.status != 0 {
		out.status = s.status
	}
	return out, nil
}

func (s *script) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, s.err
	}
	n := len(s.text)
	if s.step > 0 {
		n = min(n, s.step)
	}
	n = copy(p, s.text[:n])
	s.text = s.text[n:]
	return n, nil
}
func (s *script) Close() error            { s.open--; return nil }
func (s *script) Status() int             { return s.status }
func (s *script) ContentType() string     { return eventStream }
func (s *script) Load() (spec.Load, bool) { return spec.Load{}, false }

// carry has a relay of its own carry one streamed request, and returns what the client gets.
func (s *scripted) carry(asked string, can spec.Ability, reg prometheus.Registerer, prepare ...func(*Exchange)) (string, Outcome) {
	table := balance.NewTable(balance.Config{QueueTimeout: 50 * time.Millisecond, ReadyTimeout: 20 * time.Millisecond, DigestInterval: time.Minute, Random: steady})
	for i, n := range []string{"a", "b", "c"} {
		version := uint64(3)
		if strings.Contains(s.older, n) {
			version = 2
		}
		table.PutMember(balance.Member{Node: spec.NodeID(n), Region: "north"})
		table.Observe(&wire.LoadDigest{Node: n, Boot: 1, Devices: []*wire.DeviceLoad{{Device: "cpu/" + n, Seq: 1, Instances: []*wire.InstanceLoad{{
			Instance: "i-" + n, Deployment: "m", Version: version, State: wire.InstanceState_INSTANCE_STATE_READY, Slots: 4, Can: uint32(can), PrefillTps: float32(1000 - i)}}}}}, time.Now())
	}
	var out Outcome
	x := &Exchange{Context: context.Background(), Body: []byte(asked), Done: func(o *Outcome) { out = *o }, Topology: true,
		Call:  spec.Call{RequestID: "r1", Deployment: "m", Version: 3, Stream: true, Path: chatPath, PromptTokens: 10},
		Query: balance.Query{Deployment: "m", Version: 3, Region: "north", PromptTokens: 10}}
	for _, p := range prepare {
		p(x)
	}
	r := New(Config{Opener: s, Table: table, Registerer: reg})
	r.begin(x)
	b := &body{x: x, ready: make(chan struct{})}
	b.produce()
	var got bytes.Buffer
	if b.err == nil {
		if _, err := b.WriteTo(&got); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil || s.open != 0 {
		s.t.Errorf("%d streams are open, %v", s.open, err)
	}
	return got.String(), out
}

var seamComment = regexp.MustCompile(`: resumed node=[abc] attempts=\d gap_ms=\d+\n\n`)

// unseamed is text without the comments, and how many there were.
func unseamed(text string) (string, int) {
	n := len(seamComment.FindAllString(text, -1))
	if n == 0 { // all of it is of the second attempt
		text = strings.NewReplacer(`"id":"second, longer"`, `"id":"first"`, `"created":14`, `"created":5`, `"id":"second"`, `"id":"first"`, `"created":6`, `"created":5`).Replace(text)
	}
	return seamComment.ReplaceAllString(text, ""), n
}

// words are the pieces of the scripted answer, each with its token.
var words = []string{"A ", "", "\u00e9", "\\u00e9\\\"", " {", "\\n", " end"}

// embedded plays the engine that goes on by tokens: events as its server has them.
func embedded(body []byte, id string) string {
	var b struct {
		Continuation *struct {
			Tokens []int `json:"token_ids"`
			Events int   `json:"events"`
		}
		Return  bool `json:"return_token_ids"`
		Options struct {
			Usage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return err.Error()
	}
	var out strings.Builder
	event := func(choices string) {
		null := ""
		if b.Options.Usage {
			null = `,"usage":null`
		}
		fmt.Fprintf(&out, "data: {\"id\":%q,\"object\":\"chat.completion.chunk\",\"created\":%d,\"model\":\"m\",\"choices\":[%s]%s}\n\n", id, len(id), choices, null)
	}
	tokens := func(ids string) string {
		if !b.Return {
			return ""
		}
		if ids == "" {
			return ""
		}
		return `,"token_ids":[` + ids + `]`
	}
	skip := 0
	if b.Continuation == nil {
		event(`{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}`)
	} else {
		skip = b.Continuation.Events
		for i, id := range b.Continuation.Tokens {
			if id != 100+i {
				return "wrong tokens"
			}
		}
		if len(b.Continuation.Tokens) != min(skip, len(words)) {
			return fmt.Sprintf("%d tokens of %d events", len(b.Continuation.Tokens), skip)
		}
	}
	for i, w := range words {
		if i >= skip {
			event(fmt.Sprintf(`{"index":0,"delta":{"content":"%s"},"logprobs":null,"finish_reason":null%s}`, w, tokens(fmt.Sprint(100+i))))
		}
	}
	if skip <= len(words) {
		event(`{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"` + tokens("") + `}`)
	}
	if b.Options.Usage {
		fmt.Fprintf(&out, "data: {\"id\":%q,\"created\":%d,\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":7,\"total_tokens\":11}}\n\n", id, len(id))
	}
	return out.String() + done
}

const ableTokens = spec.AbleUsage | spec.AbleContinue | spec.AbleTokens

// TestResumedByTokens cuts an answer at each byte: the client gets what it would
// have got without the fault, but for the comment at the seam.
func TestResumedByTokens(t *testing.T) {
	for _, body := range []string{`{"model":"m","stream":true}`, `{"model":"m","stream_options":{"include_usage":true}}`, `{"return_token_ids":true}`} {
		whole := embedded([]byte(strings.Replace(body, "{", `{"return_token_ids":true,"stream_options":{"include_usage":true},`, 1)), "first")
		calm := &scripted{t: t, answer: func(_ int, body []byte) (string, error) { return embedded(body, "first"), io.EOF }}
		want, o := calm.carry(body, ableTokens, nil)
		if o.Err != nil || !strings.HasSuffix(want, done) || strings.Contains(want, "token_ids") != strings.Contains(body, "token_ids") ||
			strings.Contains(want, "total_tokens") != strings.Contains(body, "include_usage") || o.Usage.Completion != 7 {
			t.Fatalf("%q %+v", want, o)
		}
		for cut := 0; cut < len(whole); cut += 1 + cut%2 {
			s := &scripted{t: t, step: 1 + cut%50, answer: func(attempt int, body []byte) (string, error) {
				if attempt == 1 {
					text := embedded(body, "first")
					return text[:min(cut, len(text))], errBroke
				}
				return embedded(body, "second, longer"), io.EOF
			}}
			got, o := s.carry(body, ableTokens, nil)
			text, seams := unseamed(got)
			if text != want || o.Err != nil || seams > 1 || o.Resumes != seams || o.Usage.Prompt != 4 || o.Usage.Completion != 7 || !o.HasUsage {
				t.Fatalf("%s, cut at %d: %d seams, %+v\n%s\nwant\n%s", body, cut, seams, o, got, want)
			}
			if len(s.at) > 1 && (s.at[0] == s.at[1] || s.calls[1].Attempt != 2) {
				t.Fatalf("cut at %d: at %v", cut, s.at)
			}
		}
	}
}

// plain plays an engine that goes on by the text of the last message.
func plain(body []byte, id string) string {
	var b struct {
		Messages []struct{ Role, Content string }
		More     bool  `json:"continue_final_message"`
		Add      *bool `json:"add_generation_prompt"`
		Max      int   `json:"max_tokens"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return err.Error()
	}
	begun := ""
	if b.More {
		begun = b.Messages[len(b.Messages)-1].Content
		if b.Add == nil || *b.Add || b.Messages[len(b.Messages)-1].Role != "assistant" {
			return "continues nothing"
		}
	}
	var out strings.Builder
	event := func(format string, args ...any) {
		fmt.Fprintf(&out, "data: {\"id\":%q,\"created\":%d,\"choices\":[", id, len(id))
		fmt.Fprintf(&out, format+"]}\n\n", args...)
	}
	event(`{"index":0,"delta":{"role":"assistant","content":""}}`)
	pieces, n := []string{"one ", "t\u00e9o\"", " thr\\ee ", "four"}, 0
	at := 0
	for _, p := range pieces {
		if at += len(p); at <= len(begun) {
			continue
		}
		if n++; b.Max > 0 && n > b.Max {
			return "too many tokens were asked for"
		}
		quoted, _ := json.Marshal(p)
		event(`{"index":0,"delta":{"content":%s},"finish_reason":null}`, quoted)
	}
	event(`{"index":0,"delta":{},"finish_reason":"stop"}`)
	fmt.Fprintf(&out, "data: {\"id\":%q,\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":9}}\n\n", id, 5+4-n, n)
	return out.String() + done
}

// TestResumedByText: the same with an engine that knows no more than to continue a message.
func TestResumedByText(t *testing.T) {
	body := `{"messages":[{"role":"user","content":"x"}],"max_tokens":5,"stream_options":{"include_usage":true}}`
	want := plain([]byte(body), "first")
	finished := strings.Index(want, `"stop"}`)
	for cut := range want {
		s := &scripted{t: t, answer: func(attempt int, body []byte) (string, error) {
			if attempt == 1 {
				return want[:cut], errBroke
			}
			return plain(body, "second"), io.EOF
		}}
		got, o := s.carry(body, spec.AbleUsage|spec.AbleContinue, nil)
		text, seams := unseamed(got)
		if strings.Contains(want[:cut], "[DONE]") || cut < finished {
			if text != want || o.Err != nil || seams > 1 || o.Usage.Prompt != 5 || o.Usage.Completion != 4 {
				t.Fatalf("cut at %d: %d seams, %+v\n%s\nwant\n%s", cut, seams, o, got, want)
			}
		} else if o.Err == nil && text != want {
			t.Fatalf("cut at %d: %+v\n%s", cut, o, got)
		}
	}
}

// TestCompleteButForItsEnd: an answer whose end was told is complete, where the
// client wants nothing that would have followed.
func TestCompleteButForItsEnd(t *testing.T) {
	text := plain([]byte("{}"), "first")
	at := strings.Index(text, "data: {\"id\":\"first\",\"choices\":[],\"usage\"")
	s := &scripted{t: t, answer: func(int, []byte) (string, error) { return text[:at], errBroke }}
	got, o := s.carry(`{"messages":[{"role":"user","content":"x"}]}`, spec.AbleUsage|spec.AbleContinue, nil)
	if got != text[:at]+done || o.Err != nil || o.Usage.Completion != 4 || !o.Estimated || o.Resumes != 0 {
		t.Errorf("%q %+v", got, o)
	}
}

// TestNotResumed: what cannot be continued ends with an error event, never in silence.
func TestNotResumed(t *testing.T) {
	first := `data: {"id":"1","choices":[{"index":0,"delta":{"content":"x"}}]}` + "\n\n"
	const ask = `{"messages":[{"role":"user","content":"x"}]}`
	for name, c := range map[string]struct {
		body, text string
		can        spec.Ability
		status     int
		tries      int
		outcome    string
	}{
		"engine":       {ask, first, spec.AbleUsage, 0, 1, "engine"},
		"several":      {`{"n":2,"messages":[{"role":"user"}]}`, first, spec.AbleContinue, 0, 1, "failed"},
		"another's":    {ask, strings.Replace(first, `"index":0`, `"index":1`, 1), spec.AbleContinue, 0, 1, "not_text"},
		"call":         {ask, `data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}` + "\n\n", spec.AbleContinue, 0, 1, "tool_call"},
		"thought":      {ask, `data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}` + "\n\n", spec.AbleContinue, 0, 1, "not_text"},
		"not a chunk":  {ask, first + "event: x\ndata: {\"x\":1}\n\n", spec.AbleContinue, 0, 1, "not_text"},
		"with grammar": {`{"messages":[{}],"response_format":{"type":"json_object"}}`, first, spec.AbleContinue, 0, 1, "failed"},
		"refused":      {ask, first, spec.AbleContinue, 400, 2, "failed"},
		"all fail":     {ask, first, spec.AbleContinue, 500, 3, "failed"},
	} {
		reg := prometheus.NewRegistry()
		s := &scripted{t: t, status: c.status, answer: func(attempt int, _ []byte) (string, error) {
			if attempt > 1 {
				return "no", io.EOF
			}
			return c.text, errBroke
		}}
		got, o := s.carry(c.body, c.can, reg)
		before, event, ok := strings.Cut(got, "event: error\ndata: ")
		if !ok || before != c.text || !strings.Contains(event, string(spec.CodeStreamBroken)) || o.Err == nil || len(s.calls) != c.tries || o.Resumes > 1 {
			t.Errorf("%s: %q, %d tries, %+v", name, got, len(s.calls), o)
		}
		if o.Usage.Completion != 1 && name != "thought" || !o.Estimated && name != "thought" {
			t.Errorf("%s: %+v", name, o)
		}
		if told := resumesTold(t, reg); told != "broken "+c.outcome+" 1" {
			t.Errorf("%s: counted as %s", name, told)
		}
	}
}

// resumesTold is the labels and value of the only counter of resumes.
func resumesTold(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, f := range families {
		if f.GetName() != "lotabots_relay_resumes_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			told = append(told, fmt.Sprint(m.GetLabel()[1].GetValue(), " ", m.GetLabel()[0].GetValue(), " ", m.GetCounter().GetValue()))
		}
	}
	return strings.Join(told, ", ")
}

// TestResumedAfterTheEnginesError: what the engine says of its own end is kept from
// the client while another one can go on, and told where none can.
func TestResumedAfterTheEnginesError(t *testing.T) {
	const failure = "data: {\"error\":{\"message\":\"out of memory\"}}\n\n"
	left := 0
	broke := func(attempt int, body []byte) (string, error) {
		text := embedded(body, "first")
		if attempt == 1 {
			text = strings.Join(strings.SplitAfter(text, "\n\n")[:4], "") + failure[:len(failure)-left]
		}
		return text, io.EOF
	}
	want, _ := (&scripted{t: t, answer: func(_ int, body []byte) (string, error) { return embedded(body, "first"), io.EOF }}).carry("{}", ableTokens, nil)
	for left = range 3 { // it may leave out the empty line
		got, o := (&scripted{t: t, answer: broke}).carry("{}", ableTokens, nil)
		if text, seams := unseamed(got); text != want || seams != 1 || o.Err != nil {
			t.Errorf("%q %+v", got, o)
		}
	}
	got, o := (&scripted{t: t, answer: broke}).carry("{}", spec.AbleUsage, nil)
	if !strings.Contains(got, "event: error\ndata: {\"error\":{\"message\":\"The engine ended the stream with an error: out of memory\"") || o.Err == nil || strings.Contains(got, "[DONE]") {
		t.Errorf("%q %+v", got, o)
	}
}

// TestResumedWithoutText: what the instance says that goes on is looked at as well.
func TestResumedWithoutText(t *testing.T) {
	s := &scripted{t: t, answer: func(attempt int, body []byte) (string, error) {
		if attempt == 1 {
			return piece("x"), errBroke
		}
		return piece("\xff") + stopped + done, io.EOF
	}}
	got, o := s.carry(`{"messages":[{"role":"user","content":"x"}]}`, spec.AbleContinue, nil)
	if o.Err == nil || strings.Contains(got, "\xff") || strings.Contains(got, "[DONE]") {
		t.Errorf("%q %+v", got, o)
	}
}

// TestResumedAgainAndAgain: each instance gives one event and dies.
func TestResumedAgainAndAgain(t *testing.T) {
	want, _ := (&scripted{t: t, answer: func(_ int, body []byte) (string, error) { return embedded(body, "first"), io.EOF }}).carry("{}", ableTokens, nil)
	s := &scripted{t: t, answer: func(attempt int, body []byte) (string, error) {
		text := embedded(body, fmt.Sprint(strings.Repeat("x", attempt)))
		if attempt < 3 {
			return strings.Join(strings.SplitAfter(text, "\n\n")[:2], ""), errBroke
		}
		return text, io.EOF
	}}
	got, o := s.carry("{}", ableTokens, nil)
	text, seams := unseamed(got)
	text = strings.ReplaceAll(strings.ReplaceAll(text, `"id":"x"`, `"id":"first"`), `"created":1,`, `"created":5,`)
	if text != want || seams != 2 || o.Resumes != 2 || o.Attempts != 3 || o.Usage.Completion != 7 {
		t.Errorf("%d seams %+v\n%s\nwant\n%s", seams, o, got, want)
	}
}

// TestResumedByItsVersion: where the two versions of a deployment may be different models, the one that
// began an answer goes on with it, whichever was asked for; nobody does where there is no other of it.
func TestResumedByItsVersion(t *testing.T) {
	for name, c := range map[string]struct {
		older string
		apart bool
		at    string // who goes on; empty: nobody
	}{
		"the next is of another version":          {"b", true, "c"},
		"so are all, and may be of another model": {"bc", true, ""},
		"and run the same":                        {"bc", false, "b"},
		"none is of the version that was asked":   {"abc", true, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scripted{t: t, older: c.older, answer: func(attempt int, body []byte) (string, error) {
				text := embedded(body, fmt.Sprint(strings.Repeat("x", attempt)))
				if attempt == 1 {
					return strings.Join(strings.SplitAfter(text, "\n\n")[:2], ""), errBroke
				}
				return text, io.EOF
			}}
			got, o := s.carry("{}", ableTokens, nil, func(x *Exchange) { x.Query.Apart = c.apart })
			if c.at == "" {
				if o.Err == nil || o.Resumes != 1 || len(s.at) != 1 || !strings.Contains(got, `"error"`) {
					t.Errorf("%+v by %v\n%s", o, s.at, got)
				}
				return
			}
			if o.Err != nil || o.Resumes != 1 || len(s.at) != 2 || string(s.at[1]) != c.at {
				t.Errorf("%+v by %v\n%s", o, s.at, got)
			}
		})
	}
}

// TestResumedUnderItsLimits: region and exclusion hold for the resumption too.
func TestResumedUnderItsLimits(t *testing.T) {
	s := &scripted{t: t, answer: func(attempt int, body []byte) (string, error) {
		return strings.Join(strings.SplitAfter(embedded(body, "first"), "\n\n")[:2], ""), errBroke
	}}
	got, o := s.carry("{}", ableTokens, nil, func(x *Exchange) {
		x.Query.Regions, x.Call.Regions = []string{"north"}, []string{"north"}
		x.Query.Exclude = []spec.InstanceID{"i-b"}
	})
	if o.Err == nil || o.Err.Code != spec.CodeStreamBroken || !strings.Contains(got, "event: error") || len(s.at) != 2 {
		t.Errorf("%q %+v at %v", got, o, s.at)
	}
	for _, c := range s.calls {
		if len(c.Regions) != 1 {
			t.Errorf("%+v", c)
		}
	}
	if errors.Is(o.Err, io.EOF) {
		t.Error(o.Err)
	}
}
