package llamacpp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

const shipped = "../../node/demo/lota-tiny.gguf"

func libraries(t testing.TB) string {
	t.Helper()
	dir, err := library.Find("")
	if err != nil {
		t.Skipf("llama.cpp's libraries are not here; run lotabots-engine install: %v", err)
	}
	return dir
}

// open starts an engine of the shipped model and its server.
func open(t testing.TB, c Config) (*Engine, *httptest.Server) {
	t.Helper()
	c.Libraries, c.Model = libraries(t), shipped
	e, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(nil, nil)
	server.Serve(e)
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		e.Close()
	})
	return e, web
}

type reply struct {
	ID      string
	Model   string
	Object  string
	Choices []struct {
		Message, Delta struct{ Role, Content string }
		Text           string
		Index          int
		Logprobs       *scores
		Finish         *string `json:"finish_reason"`
		Stop           string  `json:"stop_reason"`
	}
	Usage *openai.Usage
	Error *struct{ Message, Type, Param, Code string }
	Data  []struct {
		Embedding json.RawMessage
	}
}

// scores are a chat's or a completion's.
type scores struct {
	Content []struct {
		Token   string
		Logprob float64
		Bytes   []int
		Top     []struct {
			Token   string
			Logprob float64
		} `json:"top_logprobs"`
	}
	Tokens  []string
	Scores  []float64            `json:"token_logprobs"`
	Top     []map[string]float64 `json:"top_logprobs"`
	Offsets []int                `json:"text_offset"`
}

func (r reply) text() string {
	if len(r.Choices) == 0 {
		return ""
	}
	return r.Choices[0].Message.Content + r.Choices[0].Text
}

func (r reply) finish() string {
	if len(r.Choices) == 0 || r.Choices[0].Finish == nil {
		return ""
	}
	return *r.Choices[0].Finish
}

func post(ctx context.Context, url, path string, body any) (*http.Response, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(r)
}

type fields = map[string]any

func question(text string, more fields) fields {
	body := fields{"temperature": 0, "messages": []fields{{"role": "user", "content": text}}}
	for k, v := range more {
		body[k] = v
	}
	return body
}

// ask sends a request that is not streamed. It reports by Errorf: it is called from goroutines too.
func ask(t testing.TB, url, path string, body any) (int, reply) {
	t.Helper()
	var out reply
	response, err := post(t.Context(), url, path, body)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return 0, out
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return response.StatusCode, out
}

// streamed gives a stream's events; the last line must be the end mark.
func streamed(t testing.TB, url string, body fields) []reply {
	t.Helper()
	body["stream"] = true
	response, err := post(t.Context(), url, "/v1/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%v, %s: %s", err, response.Header.Get("Content-Type"), raw)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n\n")
	if lines[len(lines)-1] != "data: [DONE]" {
		t.Fatalf("the stream ends with %q", lines[len(lines)-1])
	}
	var events []reply
	for _, line := range lines[:len(lines)-1] {
		var e reply
		if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

func facts(t testing.TB) (list []struct{ Question, Answer string }) {
	t.Helper()
	raw, err := os.ReadFile("../../node/demo/facts.json")
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// until waits for what becomes true soon.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in 30 s not: %s", what)
		}
	}
}

// The shipped model must know its lessons in this engine, not only in the one that trained it.
func TestFactsAreAnsweredExactly(t *testing.T) {
	_, web := open(t, Config{Slots: 4})
	list := facts(t)
	right := 0
	for i, f := range list {
		status, r := ask(t, web.URL, "/v1/chat/completions", question(f.Question, nil))
		exact := status == 200 && r.text() == f.Answer && r.finish() == "stop"
		if exact {
			right++
		} else if i == 0 {
			t.Errorf("the demonstration's answer is %q, want %q", r.text(), f.Answer)
		}
	}
	t.Logf("%d of %d facts exact", right, len(list))
	if right*10 < len(list)*9 {
		t.Errorf("only %d of %d facts are exact", right, len(list))
	}
}

func TestTogetherAsAlone(t *testing.T) {
	_, web := open(t, Config{Slots: 4, Context: 512})
	list := facts(t)[:12]
	alone := make([]string, len(list))
	for i, f := range list {
		_, r := ask(t, web.URL, "/v1/chat/completions", question(f.Question, nil))
		alone[i] = r.text()
	}
	var wait sync.WaitGroup
	for i, f := range list {
		wait.Go(func() {
			if _, r := ask(t, web.URL, "/v1/chat/completions", question(f.Question, nil)); r.text() != alone[i] {
				t.Errorf("%q: together %q, alone %q", f.Question, r.text(), alone[i])
			}
		})
	}
	wait.Wait()
}

// A prompt longer than a step's share is read in parts while another answer goes on.
func TestLongPromptBesideAStream(t *testing.T) {
	_, web := open(t, Config{Slots: 2, Context: 1024})
	long := question(strings.Repeat("Tell me. ", 250)+"Say the alphabet.", fields{"max_tokens": 20})
	_, alone := ask(t, web.URL, "/v1/chat/completions", long)
	if alone.Usage == nil || alone.Usage.Prompt < 2*firstStep {
		t.Fatalf("the prompt is too short for this test: %+v", alone)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		ask(t, web.URL, "/v1/chat/completions", question("Count from 1 to 150.", fields{"max_tokens": 300}))
	})
	for range 3 {
		if _, r := ask(t, web.URL, "/v1/chat/completions", long); r.text() != alone.text() {
			t.Errorf("beside a stream %q, alone %q", r.text(), alone.text())
		}
	}
	wait.Wait()
}

// begin starts a long stream and returns once its first text is there.
func begin(t *testing.T, ctx context.Context, url string) *bufio.Reader {
	t.Helper()
	response, err := post(ctx, url, "/v1/chat/completions", question("Count from 1 to 150.", fields{"stream": true, "max_tokens": 4000}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	reader := bufio.NewReader(response.Body)
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return reader
}
