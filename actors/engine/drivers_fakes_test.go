package engine

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// Stand-ins for vLLM, SGLang and Triton. Their answers are shortened from those of the true programs;
// what those do with our arguments, only they can tell.

func pythonMain(program string) {
	note(call{Args: os.Args[1:], Env: os.Environ()})
	mode := os.Getenv("LOTABOTS_MODE")
	if mode == "no-memory" {
		fmt.Println("ValueError: Free memory on device (3.22/4.0 GiB) on startup is less than desired GPU memory utilization (0.9, 3.6 GiB).")
		fmt.Println("RuntimeError: Engine core initialization failed. See root cause above.")
		os.Exit(1)
	}
	key := os.Getenv("VLLM_API_KEY")
	if program == SGLang {
		raw, err := os.ReadFile(flag(os.Args, "--config"))
		if err != nil {
			panic(err)
		}
		key = strings.TrimSpace(strings.TrimPrefix(string(raw), "api-key:"))
	}
	mux := http.NewServeMux()
	say := func(pattern, answer string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Method == http.MethodPost {
				note(call{Path: r.URL.Path, Body: string(body)})
			}
			if strings.HasPrefix(r.URL.Path, "/v1") && (key == "" || r.Header.Get("Authorization") != "Bearer "+key) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = io.WriteString(w, answer)
		})
	}
	say("GET /health", "")
	say("GET /v1/models", `{"object":"list","data":[{"id":"lota","object":"model","owned_by":"vllm","root":"/m","max_model_len":4096}]}`)
	say("GET /version", `{"version":"0.11.2"}`)
	say("GET /openapi.json", `{"paths":{"/v1/messages":{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Message"}}}}}},
		"/v1/responses":{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Response"}}}}}}},
		"components":{"schemas":{"Message":{"properties":{"max_tokens":{}}},"Response":{"properties":{"cache_salt":{"type":"string"}}}}}}`)
	say("POST /v1/responses", `{"object":"response"}`)
	say("GET /get_server_info", `{"model_path":"/m","version":"0.5.4","max_total_num_tokens":60000}`)
	say("POST /v1/chat/completions", `{"object":"chat.completion"}`)
	for _, path := range []string{"/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/load_lora_adapter", "/unload_lora_adapter", "/sleep", "/wake_up",
		"/release_memory_occupation", "/resume_memory_occupation"} {
		say("POST "+path, `{}`)
	}
	metrics := `vllm:num_requests_running{engine="0",model_name="lota"} 2.0
vllm:num_requests_waiting{engine="0",model_name="lota"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="lota"} 0.25
`
	if program == SGLang {
		metrics = "sglang:num_running_reqs{model_name=\"lota\"} 2.0\nsglang:num_queue_reqs{model_name=\"lota\"} 1.0\nsglang:token_usage{model_name=\"lota\"} 0.25\n"
	}
	say("GET /metrics", metrics)
	listen("--uds", mux)
}

// listen serves on the socket that the argument names, else on --host and --port.
func listen(socket string, mux http.Handler) {
	network, address := "unix", flag(os.Args, socket)
	if address == "" {
		network, address = "tcp", flag(os.Args, "--host")+":"+flag(os.Args, "--port")
	}
	l, err := net.Listen(network, address)
	if err == nil {
		err = http.Serve(l, mux)
	}
	fmt.Println(err)
	os.Exit(1)
}

func tritonMain() {
	note(call{Args: os.Args[1:], Env: os.Environ()})
	value := func(name string) string {
		for _, a := range os.Args[1:] {
			if v, ok := strings.CutPrefix(a, name+"="); ok {
				return v
			}
		}
		return ""
	}
	metrics := http.NewServeMux()
	metrics.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "nv_inference_pending_request_count{model=\"m\",version=\"1\"} 3\n")
	})
	go func() { _ = http.ListenAndServe(value("--metrics-address")+":"+value("--metrics-port"), metrics) }()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/models/"+value("--load-model")+"/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /v2", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"name":"triton","version":"2.50.0","extensions":["classification"]}`)
	})
	fmt.Println(http.ListenAndServe(value("--http-address")+":"+value("--http-port"), mux))
	os.Exit(1)
}

// fakeConfig is a node's with stand-ins for all three, and a directory of models with the entry "m".
func fakeConfig(t *testing.T, mode string) (c Config, record map[string]string) {
	t.Helper()
	c, record = Config{Shim: testShim, RunDir: t.TempDir(), Models: t.TempDir()}, map[string]string{}
	if err := os.Mkdir(c.Models+"/m", 0o755); err != nil {
		t.Fatal(err)
	}
	c.VLLM, record[VLLM] = fake(t, VLLM, mode)
	c.SGLang, record[SGLang] = fake(t, SGLang, mode)
	c.Triton, record[Triton] = fake(t, Triton, mode)
	return c, record
}
