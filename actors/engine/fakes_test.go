package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Stand-ins for programs that are not on every machine: scripts that run the test binary, which records
// how it was called and answers like them. What the true programs do with it, these cannot tell.

// fake writes the script of a program and returns its path and that of its record.
func fake(t *testing.T, program, mode string) (path, record string) {
	t.Helper()
	dir := t.TempDir()
	path, record = filepath.Join(dir, program), filepath.Join(dir, "record")
	script := fmt.Sprintf("#!/bin/sh\nLOTABOTS_ENGINE_TEST=%s LOTABOTS_MODE=%s LOTABOTS_RECORD=%s exec %s \"$@\"\n", program, mode, record, os.Args[0])
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path, record
}

// A call is what a program was started or asked with.
type call struct {
	Path  string // of a request; empty: the start
	Body  string
	Args  []string
	Env   []string
	Child int // process that the program has started
}

var recording sync.Mutex

func note(c call) {
	recording.Lock()
	defer recording.Unlock()
	f, err := os.OpenFile(os.Getenv("LOTABOTS_RECORD"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		err = json.NewEncoder(f).Encode(c)
	}
	if err != nil {
		panic(err)
	}
	_ = f.Close()
}

// noted reads what a program has recorded so far.
func noted(t *testing.T, record string) (calls []call) {
	t.Helper()
	f, err := os.Open(record)
	if err != nil {
		return nil
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var c call
		if d.Decode(&c) != nil {
			return calls
		}
		calls = append(calls, c)
	}
}

// flag is the argument behind name.
func flag(args []string, name string) string {
	for i, a := range args[:max(0, len(args)-1)] {
		if a == name {
			return args[i+1]
		}
	}
	return ""
}

// llamaServerMain is llama-server: it starts a process of its own as well, to see whether that stays.
func llamaServerMain() {
	mode := os.Getenv("LOTABOTS_MODE")
	if os.Args[1] == "--help" {
		if mode == "socket" {
			fmt.Println("--host HOST   ip address to listen, or bind to an UNIX socket if the address ends with .sock")
		}
		os.Exit(0)
	}
	if mode == "broken" {
		fmt.Println("error: unknown model architecture")
		os.Exit(1)
	}
	if mode == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	}
	child := exec.Command("sleep", "1000")
	if err := child.Start(); err != nil {
		panic(err)
	}
	note(call{Args: os.Args[1:], Env: os.Environ(), Child: child.Process.Pid})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if mode == "deaf" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if mode == "slow" { // until the test says so
			if _, err := os.Stat(os.Getenv("LOTABOTS_RECORD") + ".loaded"); err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
	})
	answer := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+os.Getenv("LLAMA_API_KEY") {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = io.WriteString(w, body)
		}
	}
	mux.HandleFunc("GET /props", answer(`{"total_slots":2,"default_generation_settings":{"n_ctx":1024}}`))
	mux.HandleFunc("GET /metrics", answer("# HELP x\nllamacpp:requests_processing 1\nllamacpp:requests_deferred 3\nllamacpp:predicted_tokens_seconds 12.5\n"))
	mux.HandleFunc("POST /v1/chat/completions", answer(`{"object":"chat.completion"}`))
	mux.HandleFunc("POST /apply-template", answer(`{"prompt":"<u>hi<a>"}`))
	mux.HandleFunc("POST /tokenize", func(w http.ResponseWriter, r *http.Request) { // a byte is a token
		var asked struct {
			Content string
			Special bool `json:"add_special"`
		}
		if json.NewDecoder(r.Body).Decode(&asked) != nil || !asked.Special {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		tokens := make([]int, len(asked.Content))
		_ = json.NewEncoder(w).Encode(map[string]any{"tokens": tokens})
	})
	mux.HandleFunc("POST /flood", func(_ http.ResponseWriter, _ *http.Request) {
		for i := range 100_000 {
			fmt.Printf("line %d of a chatty program that fills its log\n", i)
		}
	})
	if host := flag(os.Args, "--host"); strings.HasSuffix(host, ".sock") {
		l, err := net.Listen("unix", host)
		if err != nil {
			panic(err)
		}
		fmt.Println(http.Serve(l, mux))
		os.Exit(1)
	}
	fmt.Println(http.ListenAndServe(flag(os.Args, "--host")+":"+flag(os.Args, "--port"), mux))
	os.Exit(1)
}

// ollamaMain is ollama serve, as far as the preset asks it.
func ollamaMain() {
	note(call{Args: os.Args[1:], Env: os.Environ()})
	mux := http.NewServeMux()
	on := func(pattern string, answer func(w http.ResponseWriter, body string)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Method == http.MethodPost {
				note(call{Path: r.URL.Path, Body: string(body)})
			}
			answer(w, string(body))
		})
	}
	say := func(text string) func(http.ResponseWriter, string) {
		return func(w http.ResponseWriter, _ string) { _, _ = io.WriteString(w, text) }
	}
	on("GET /api/version", say(`{"version":"0.6.5"}`))
	on("POST /api/create", func(w http.ResponseWriter, body string) {
		var c create
		_ = json.Unmarshal([]byte(body), &c)
		blob := strings.Replace(c.Files["model.gguf"], ":", "-", 1)
		if _, err := os.Stat(filepath.Join(os.Getenv("OLLAMA_MODELS"), "blobs", blob)); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			say(`{"error":"no such blob"}`)(w, "")
			return
		}
		say(`{"status":"success"}`)(w, "")
	})
	on("POST /api/show", say(`{"model_info":{"general.architecture":"llama","llama.context_length":1024}}`))
	on("POST /api/generate", func(w http.ResponseWriter, _ string) {
		if os.Getenv("LOTABOTS_MODE") == "embeds" {
			w.WriteHeader(http.StatusBadRequest)
			say(`{"error":"\"lota\" does not support generate"}`)(w, "")
			return
		}
		say(`{"done":true,"done_reason":"load"}`)(w, "")
	})
	on("POST /api/embed", say(`{"embeddings":[[1]]}`))
	on("POST /v1/chat/completions", say(`{"object":"chat.completion"}`))
	fmt.Println(http.ListenAndServe(os.Getenv("OLLAMA_HOST"), mux))
	os.Exit(1)
}

// nodeMain starts engines as a node does, says their processes' numbers and waits to be killed. Its
// arguments are the run directory, then presets and the programs for them.
func nodeMain() {
	c := Config{RunDir: os.Args[1], Shim: testShim}
	for rest := os.Args[2:]; len(rest) > 1; rest = rest[2:] {
		switch rest[0] {
		case Embedded:
			c.Helper = rest[1]
		case LlamaServer:
			c.LlamaServer = rest[1]
		case Ollama:
			c.Ollama = rest[1]
		}
		s := demoSpec(1)
		s.Preset, s.Instance = rest[0], spec.InstanceID("lota-"+rest[0])
		e, err := New(c).Open(s)
		if err == nil {
			err = e.Start(context.Background())
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(e.(*local).mu.process.pid)
	}
	select {}
}

// lingeringMain is a node whose engine outlives it: a llama-server. Told so, it stops it again.
func lingeringMain() {
	c := Config{RunDir: os.Args[1], LlamaServer: os.Args[2], Shim: testShim, Node: "n1", Boot: 100, Linger: time.Hour, Grace: time.Hour}
	s := serverSpec()
	s.Placement = []byte("placement")
	e, err := New(c).Open(s)
	if err == nil {
		err = e.Start(context.Background())
	}
	fmt.Println("started", err)
	if len(os.Args) > 3 {
		_ = e.Stop(context.Background())
	}
	select {}
}
