package mockengine

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, c Config) (*Engine, string) {
	t.Helper()
	e := New(c)
	s := httptest.NewServer(e)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return e, s.URL
}

func ask(t *testing.T, url, id, body string) (int, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Request-Id", id)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(raw), err
}

func TestAnswers(t *testing.T) {
	e, url := serve(t, Config{Tokens: 3})
	for _, c := range []struct{ path, body, want string }{
		{"/v1/chat/completions", `{"model":"m"}`, `"content":" t0 t1 t2"`},
		{"/v1/chat/completions", `{"model":"m","max_tokens":2}`, `"finish_reason":"length"`},
		{"/v1/completions", `{"model":"m"}`, `"text":" t0 t1 t2"`},
		{"/v1/embeddings", `{"model":"m","input":["a","b"]}`, `"index":1`},
		{"/v1/rerank", `{"model":"m","query":"x","documents":["a","b","c"],"top_n":2}`, `[{"index":0,"relevance_score":1},{"index":1,"relevance_score":0.5}]`},
		{"/v1/chat/completions", `{"tools":[{"function":{"name":"a"}},{"function":{"name":"b","parameters":{"type":"object","properties":{"n":{"type":"integer"}}}}}],"messages":[{"role":"user","content":"use b"}]}`,
			`"tool_calls":[{"id":"call_0","type":"function","function":{"name":"b","arguments":"{\"n\":7}"}}]`},
		{"/v1/chat/completions", `{"tools":[{"function":{"name":"a"}}],"messages":[{"role":"user","content":"x"},{"role":"tool","content":"1"},{"role":"tool","content":[{"type":"text","text":"2"}]}]}`, `"The tools said: 1, 2."`},
		{"/v1/chat/completions", `{"messages":[],"response_format":{"type":"json_schema","json_schema":{"schema":{"$ref":"#/$defs/p","$defs":{"p":{"type":"object","properties":{"a":{"enum":["x"]},"b":{"type":"array","items":{"type":["string","null"]}}}}}}}}}`,
			`"{\"a\":\"x\",\"b\":[\"text\"]}"`},
		{"/v1/chat/completions", `{"stream":true,"tools":[{"function":{"name":"a"}}],"messages":[{"role":"user","content":"x"}]}`, `"name":"a"`},
		{"/v1/audio/speech", `{"input":"hello"}`, "ID3\x04hello"},
	} {
		status, body, err := ask(t, url+c.path, "r-"+c.path, c.body)
		if err != nil || status != 200 || !strings.Contains(body, c.want) || (body[0] == '{' && !json.Valid([]byte(body))) {
			t.Errorf("%s: %d %s %v, want %s", c.path, status, body, err, c.want)
		}
	}
	if got := e.Seen("r-/v1/chat/completions"); got.Dispatched != 6 || got.Finished != 6 {
		t.Errorf("seen %+v, want six", got)
	}
}

func TestStreamKeepsItsPaceAndEnds(t *testing.T) {
	_, url := serve(t, Config{Tokens: 4, Interval: 20 * time.Millisecond, FirstToken: 30 * time.Millisecond})
	begin := time.Now()
	_, body, err := ask(t, url+"/v1/chat/completions", "s", `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`)
	if took := time.Since(begin); err != nil || took < 90*time.Millisecond {
		t.Errorf("took %v, %v; want at least 90ms", took, err)
	}
	if strings.Count(body, `"content"`) != 4 || !strings.Contains(body, `"completion_tokens":4`) || !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Errorf("stream: %s", body)
	}
}

func TestFaults(t *testing.T) {
	const stream = `{"model":"m","stream":true}`
	t.Run("refuse", func(t *testing.T) {
		_, url := serve(t, Config{Faults: Faults{Every: 1, Refuse: true}})
		if status, _, err := ask(t, url+"/v1/chat/completions", "x", stream); err == nil {
			t.Errorf("status %d, want a closed connection", status)
		}
	})
	t.Run("status", func(t *testing.T) {
		_, url := serve(t, Config{Faults: Faults{Every: 2, Status: 500}})
		first, _, _ := ask(t, url+"/v1/chat/completions", "x", stream)
		second, _, _ := ask(t, url+"/v1/chat/completions", "x", stream)
		if first != 200 || second != 500 {
			t.Errorf("statuses %d %d, want 200 500", first, second)
		}
	})
	for _, body := range []string{stream, `{"model":"m"}`} {
		t.Run("cut", func(t *testing.T) {
			_, url := serve(t, Config{Faults: Faults{Every: 1, Cut: 100}})
			_, got, err := ask(t, url+"/v1/chat/completions", "x", body)
			if err == nil || len(got) != 100 {
				t.Errorf("%d bytes, %v; want 100 and an error", len(got), err)
			}
		})
	}
	t.Run("stall", func(t *testing.T) {
		e, url := serve(t, Config{Faults: Faults{Every: 1, Stall: true}})
		r, _ := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/chat/completions", strings.NewReader(stream))
		r.Header.Set("X-Request-Id", "x")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		raw := make([]byte, 4096)
		n, _ := answer.Body.Read(raw)
		if !strings.Contains(string(raw[:n]), "t0") {
			t.Errorf("first piece %q", raw[:n])
		}
		answer.Body.Close()
		for e.Running() != 0 || e.Seen("x").Cancelled != 1 {
			time.Sleep(time.Millisecond)
		}
	})
}

func TestSlots(t *testing.T) {
	_, url := serve(t, Config{Slots: 1, FirstToken: 1500 * time.Millisecond})
	done := make(chan int, 2)
	for range 2 {
		go func() {
			status, _, _ := ask(t, url+"/v1/chat/completions", "x", `{}`)
			done <- status
		}()
	}
	if a, b := <-done, <-done; a+b != 200+429 {
		t.Errorf("statuses %d %d, want 200 and 429", a, b)
	}
}

// TestSeenByTheClientsID: nodes give an id that is no UUID another form, and send it as it was beside.
func TestSeenByTheClientsID(t *testing.T) {
	e, url := serve(t, Config{Tokens: 1})
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/chat/completions", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Request-Id", "00000000-0000-8000-8000-000000000000")
	r.Header.Set("X-Lotabots-Request-Id", "mine")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if got := e.Seen("mine"); got.Dispatched != 1 {
		t.Errorf("seen %+v, want one", got)
	}
}
