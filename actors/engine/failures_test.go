package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lotabots/lotabots/cluster/spec"
)

// What engines have said, shortened. Those of Ollama and of the missing library were recorded here; the
// others are from reports of their users, or texts of their sources.
var sayings = []struct{ engine, kind, text string }{
	{"ollama 0.6.5", "format", `llama_model_load: error loading model: tensor 'blk.4.ffn_up.weight' data is not within the file bounds, model is corrupted or incomplete
llama_model_load_from_file_impl: failed to load model`},
	{"ollama 0.6.5", "format", `time=2026-11-26T00:31:36.946Z level=ERROR source=create.go:491 msg="unsupported content type: unknown"`},
	{"ollama 0.6.5", "format", `the engine answers /api/create with 400: {"error":"supplied file was not in GGUF format","status":400}`},
	{"ollama", "device-memory", `ggml_backend_cuda_buffer_type_alloc_buffer: allocating 45108.64 MiB on device 0: cudaMalloc failed: out of memory
llama_model_load: error loading model: unable to allocate CUDA0 buffer
llama_load_model_from_file: failed to load model
panic: unable to load model: /var/lib/ollama/sha256-9801e7fce27dbf3d0bfb468b7b21f1d132131a546dfc43e50518631b8b1800a9`},
	{"ollama", "host-memory", `ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 437944320
alloc_tensor_range: failed to allocate CPU buffer of size 437944320
llama_model_load: error loading model: unable to allocate CPU buffer`},
	{"ollama", "host-memory", `Error: model requires more system memory (9.3 GiB) than is available (5.6 GiB)`},
	{"llama-server", "format", `gguf_init_from_file_impl: invalid magic characters: 'PK??', expected 'GGUF'`},
	{"llama-server 0.5.0", "format", `0.00.036.193 E gguf_init_from_reader: invalid magic characters: 'PK??', expected 'GGUF'`},
	{"llama-server 0.5.0", "format", `0.00.032.848 E gguf_init_from_reader: failed to read magic
0.00.033.236 E llama_model_load: error loading model: llama_model_loader: failed to load model from x.gguf`},
	{"llama-server 0.5.0", "format", `0.00.012.678 E llama_model_load: error loading model: error loading model vocabulary: cannot find tokenizer vocab in model file`},
	{"llama-server 0.5.0", "format", `0.00.043.337 E llama_model_load: error loading model: check_tensor_dims: tensor 'output_norm.weight' not found`},
	{"llama-server 0.5.0", "architecture", `0.00.050.950 E llama_model_load: error loading model: unknown model architecture: 'lxama'`},
	{"llama-server 0.5.0", "file", `0.00.036.899 E gguf_init_from_file: failed to open GGUF file 'x.gguf' (No such file or directory)`},
	{"llama-server 0.5.0", "port", `0.00.036.015 E srv         start: couldn't bind HTTP server socket, hostname: /tmp/s.sock, port: 8080`},
	{"llama-server", "architecture", `llama_model_load: error loading model: error loading model architecture: unknown model architecture: 'gemma9'`},
	{"llama-server", "port", `srv    start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 18091`},
	{"llama-server", "file", `gguf_init_from_file: failed to open GGUF file '/models/x.gguf' (No such file or directory)`},
	{"llama-server", "library", `/usr/bin/llama-server: error while loading shared libraries: libcudart.so.12: cannot open shared object file: No such file or directory`},
	{"llama-server", "option", `error: invalid argument: --metricz`},
	{"llama-server", "driver", "ggml_cuda_init: failed to initialize CUDA: CUDA driver version is insufficient for CUDA runtime version"},
	{"vllm 0.9.1", "device-memory", `[multiproc_executor.py:492] ValueError: Free memory on device (31.44/47.38 GiB) on startup is less than desired GPU memory utilization (0.95, 45.01 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.
ERROR 06-30 13:53:19 [core.py:515] EngineCore failed to start.
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}`},
	{"vllm", "device-memory", `(EngineCore_0 pid=7) ERROR [core.py:700] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.`},
	{"vllm", "device-memory", `ValueError: No available memory for the cache blocks. Try increasing ` + "`gpu_memory_utilization`" + ` when initializing the engine.`},
	{"vllm", "remote-code", "  Value error, The repository /models/m contains custom code which must be executed to correctly load the model. You can inspect the repository content at /models/m .\nPlease pass the argument `trust_remote_code=True` to allow custom code to be run."},
	{"vllm", "architecture", `ValueError: Model architectures ['LotaForCausalLM'] are not supported for now. Supported architectures: dict_keys(['AquilaModel'])`},
	{"vllm", "no-device", `RuntimeError: Failed to infer device type, please set the environment variable VLLM_LOGGING_LEVEL=DEBUG to turn on verbose logging to help debug the issue.`},
	{"vllm", "file", `OSError: /models/m does not appear to have a file named config.json. Checkout 'https://huggingface.co//models/m/tree/None' for available files.`},
	{"vllm", "gated", `huggingface_hub.errors.GatedRepoError: 401 Client Error. Cannot access gated repo for url https://huggingface.co/m/resolve/main/config.json.`},
	{"vllm", "option", `vllm: error: unrecognized arguments: --swap-space 4`},
	{"vllm", "format", `safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer`},
	{"vllm", "driver", `RuntimeError: The NVIDIA driver on your system is too old (found version 11040).`},
	{"vllm", "port", `OSError: [Errno 98] Address already in use`},
	{"sglang 0.5", "device-memory", `server_args=ServerArgs(model_path='/m', trust_remote_code=False, host='127.0.0.1')
RuntimeError: Not enough memory. Please try to increase --mem-fraction-static. Current value: self.server_args.mem_fraction_static=0.2`},
	{"sglang", "port", `[Errno 98] error while attempting to bind on address ('127.0.0.1', 30000): address already in use`},
	{"sglang", "no-device", `RuntimeError: No CUDA GPUs are available`},
	{"triton", "library", `| m | 1 | UNAVAILABLE: Invalid argument: unable to find 'libtriton_vllm.so' or 'vllm/model.py' for model 'm', in /opt/tritonserver/backends/vllm |`},
	{"triton", "file", `E1126 server.cc:200] error: creating server: Internal - failed to stat file /models`},
	{"triton", "format", `failed to load 'm' version 1: Internal: onnx runtime error 7: Load model from /models/m/1/model.onnx failed:Protobuf parsing failed.`},
}

func TestFailuresAreRecognised(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sayings {
		f, ok := Recognise("INFO 06-30 starting\n" + s.text + "\nTraceback (most recent call last):\n")
		if !ok || f.Kind != s.kind || f.Line == "" || !strings.Contains(s.text, f.Line) {
			t.Errorf("%s: %q is %q of %q, want %q", s.engine, s.text, f.Kind, f.Line, s.kind)
		}
		seen[f.Kind] = true
	}
	for _, f := range failures {
		if _, ok := spec.Catalogue[f.Code]; !ok || f.What == "" || f.Remedy == "" || strings.HasSuffix(f.Remedy, ".") {
			t.Errorf("%s is not whole: %+v", f.Kind, f)
		}
		for _, sign := range f.signs {
			if sign != strings.ToLower(sign) {
				t.Errorf("%s: the sign %q can never be found", f.Kind, sign)
			}
		}
		if !seen[f.Kind] && f.Kind != "disk-full" {
			t.Errorf("no saying is of %s", f.Kind)
		}
	}
}

// What healthy engines say on their way is no failure.
func TestHealthyOutputIsNoFailure(t *testing.T) {
	for _, text := range []string{
		"", "server_args=ServerArgs(trust_remote_code=False, mem_fraction_static=0.88)", "load_tensors: offloaded 62/62 layers to GPU",
		"INFO: Uvicorn running on socket s", "main: server is listening on http://127.0.0.1:8080 - starting the main loop",
		`time=2026-11-26T00:31:34.035Z level=INFO source=gpu.go:377 msg="no compatible GPUs were discovered"`,
	} {
		if f, ok := Recognise(text); ok {
			t.Errorf("%q is taken for %s", text, f.Kind)
		}
	}
}

// The cause may stand long before the end: what follows it does not hide it.
func TestFailureIsFoundFarFromTheEnd(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	o, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	fmt.Fprintln(o, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
	for i := range 2000 {
		fmt.Fprintf(o, "  File \"core.py\", line %d, in run\n", i)
	}
	e := &spec.Error{Code: spec.CodeEngineStart, Message: "the engine vllm did not start"}
	explain(e, (&process{log: log}).said())
	if e.Code != spec.CodeOutOfMemory || !strings.Contains(e.Message, "Tried to allocate") || !strings.Contains(e.Hint, "context") {
		t.Errorf("%+v", e)
	}
}

func TestKilledEngineIsExplained(t *testing.T) {
	e := &spec.Error{Code: spec.CodeEngineStart, Message: "m", Err: fmt.Errorf("its process ended: %s", killed)}
	explain(e, "")
	if e.Code != spec.CodeEngineStart || !strings.Contains(e.Message, "killed") || e.Hint == "" {
		t.Errorf("%+v", e)
	}
	known := &spec.Error{Code: spec.CodeDeadline, Message: "m", Err: fmt.Errorf("its process ended: %s", killed)}
	explain(known, "")
	if known.Message != "m" || known.Code != spec.CodeDeadline {
		t.Errorf("what was known is written over: %+v", known)
	}
}

func FuzzRecognise(f *testing.F) {
	for _, s := range sayings {
		f.Add(s.text)
	}
	f.Add("\xff\xfe CUDA OUT OF MEMORY" + strings.Repeat("İ", 500))
	f.Fuzz(func(t *testing.T, text string) {
		if got, ok := Recognise(text); ok && (len(got.Line) > maxLine || !utf8.ValidString(got.Line)) {
			t.Errorf("%q", got.Line)
		}
	})
}
