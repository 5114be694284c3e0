package engine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
)

var (
	gpuA = device.Device{Kind: device.KindNVIDIA, UUID: "GPU-a", MemoryTotal: 80 << 30}
	gpuB = device.Device{Kind: device.KindNVIDIA, UUID: "GPU-b", MemoryTotal: 80 << 30}
)

// How the programs are called. {m} stands for the model of the node's own, {demo} for an imported one.
func TestDriverCommands(t *testing.T) {
	model, err := filepath.Abs(demo)
	if err != nil {
		t.Fatal(err)
	}
	own := func(s *Spec) { s.Model, s.Options = "", map[string]string{"weights": "m"} }
	for _, c := range []struct {
		name, preset string
		change       func(*Spec)
		want         string // arguments, without address and port
		env          []string
	}{
		{"vllm", VLLM, func(s *Spec) { s.Slots = 0 }, "serve {demo} --served-model-name lota --max-num-seqs 32 --enable-prompt-tokens-details --disable-uvicorn-access-log --uds s",
			[]string{"CUDA_VISIBLE_DEVICES=-1", "HF_HUB_OFFLINE=1", "VLLM_NO_USAGE_STATS=1"}},
		{"vllm on two GPUs", VLLM, func(s *Spec) {
			own(s)
			s.Device, s.Others, s.MemoryBytes, s.Context = gpuA, []device.Device{gpuB}, 40<<30, 8192
		}, "serve {m} --served-model-name lota --max-num-seqs 4 --enable-prompt-tokens-details --disable-uvicorn-access-log --uds s --max-model-len 8192 --gpu-memory-utilization 0.500 --tensor-parallel-size 2 --load-format safetensors",
			[]string{"CUDA_VISIBLE_DEVICES=GPU-a,GPU-b", "CUDA_DEVICE_ORDER=PCI_BUS_ID"}},
		{"vllm's options", VLLM, func(s *Spec) {
			s.Options = map[string]string{"dtype": "bfloat16", "quantization": "awq", "kv-cache-dtype": "fp8", "tool-parser": "hermes", "reasoning-parser": "qwen3", "prefix-caching": "off", "task": "embed"}
		}, "serve {demo} --served-model-name lota --max-num-seqs 4 --enable-prompt-tokens-details --disable-uvicorn-access-log --uds s --dtype bfloat16 --quantization awq --kv-cache-dtype fp8 --reasoning-parser qwen3 --enable-auto-tool-choice --tool-call-parser hermes --no-enable-prefix-caching --runner pooling --convert embed", nil},
		{"sglang", SGLang, func(s *Spec) {
			own(s)
			s.Device, s.MemoryBytes, s.Context = gpuA, 40<<30, 8192
		}, "serve --config engine.yaml --model-path {m} --served-model-name lota --enable-metrics --enable-cache-report --max-running-requests 4 --context-length 8192 --mem-fraction-static 0.450 --load-format safetensors", nil},
		{"sglang's options", SGLang, func(s *Spec) {
			s.Options = map[string]string{"task": "rerank", "prefix-caching": "off", "tool-parser": "llama3"}
		}, "serve --config engine.yaml --model-path {demo} --served-model-name lota --enable-metrics --enable-cache-report --max-running-requests 4 --tool-call-parser llama3 --disable-radix-cache --is-embedding", nil},
		{"triton", Triton, own, "--model-repository={models} --model-control-mode=explicit --load-model=m --strict-readiness=true --allow-grpc=false --allow-metrics=true --exit-timeout-secs=10", nil},
	} {
		config, record := fakeConfig(t, "")
		s := demoSpec(4)
		s.Preset = c.preset
		c.change(&s)
		start(t, New(config), s)
		got := noted(t, record[c.preset])[0]
		want := strings.NewReplacer("{m}", config.Models+"/m", "{models}", config.Models, "{demo}", model).Replace(c.want)
		if args := strings.Join(withoutAddress(got.Args), " "); args != want {
			t.Errorf("%s:\n%s, want\n%s", c.name, args, want)
		}
		for _, want := range c.env {
			if !slices.Contains(got.Env, want) {
				t.Errorf("%s: the program does not see %s", c.name, want)
			}
		}
	}
}

func withoutAddress(args []string) (out []string) {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--host" || args[i] == "--port":
			i++
		case strings.HasPrefix(args[i], "--http-") || strings.HasPrefix(args[i], "--metrics-"):
		default:
			out = append(out, args[i])
		}
	}
	return out
}

func TestDriversServe(t *testing.T) {
	for preset, c := range map[string]struct {
		load    Load
		context uint32
		version string
	}{
		VLLM:   {Load{Known: true, Running: 2, Queued: 1, KVUse: 0.25}, 4096, "0.11.2"},
		SGLang: {Load{Known: true, Running: 2, Queued: 1, KVUse: 0.25}, 4096, "0.5.4"},
		Triton: {Load{Known: true, Queued: 3}, 0, "2.50.0"},
	} {
		config, record := fakeConfig(t, "")
		s := demoSpec(4)
		s.Preset, s.Model, s.Options = preset, "", map[string]string{"weights": "m"}
		e := start(t, New(config), s)
		if e.Slots() != 4 || e.Context() != c.context {
			t.Errorf("%s: %d slots of %d", preset, e.Slots(), e.Context())
		}
		l, err := e.Load(t.Context())
		if l.Resident = 0; err != nil || l != c.load {
			t.Errorf("%s: %+v, %v", preset, l, err)
		}
		if got := e.Version(); got != c.version {
			t.Errorf("%s is %q", preset, got)
		}
		if preset != Triton {
			r, err := e.Do(t.Context(), "/v1/chat/completions", Head{CacheSalt: "t1"}, []byte(`{"model":"lota","cache_salt":"another's"}`))
			if err != nil || r.StatusCode != 200 {
				t.Fatalf("%s: %v, %v", preset, r, err)
			}
			r.Body.Close()
			e.spec.Options = map[string]string{"weights": "m", sharePrefixes: "on"}
			if r, err = e.Do(t.Context(), "/v1/chat/completions", Head{CacheSalt: "t1"}, []byte(`{"model":"lota","cache_salt":"mine"}`)); err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
		}
		var bodies []string
		for _, call := range noted(t, record[preset]) {
			if call.Path != "" {
				bodies = append(bodies, call.Body)
			}
			for _, a := range call.Args {
				if key := e.mu.web.always.Get("Authorization"); key != "" && strings.Contains(a, strings.TrimPrefix(key, "Bearer ")) {
					t.Errorf("%s: the key is an argument, for everybody to read", preset)
				}
			}
		}
		// The tenant's salt stands over the client's own, but where the deployment shares prefixes.
		if want := []string{`{"model":"lota","cache_salt":"t1"}`, `{"model":"lota","cache_salt":"mine"}`}; preset != Triton && !slices.Equal(bodies, want) {
			t.Errorf("%s gets %q", preset, bodies)
		}
	}
}

func TestOldVLLM(t *testing.T) {
	for version, want := range map[string][]string{
		"0.8.5.post1": {"--host", "--disable-log-requests", "--task"},
		"0.10.1":      {"--host", "--runner"},
		"0.11.0":      {"--uds", "--runner"},
		"1.0.0rc1":    {"--uds", "--runner"},
	} {
		config, record := fakeConfig(t, "")
		root := t.TempDir() // a virtual environment: bin/vllm beside lib/python3.12
		if err := os.MkdirAll(filepath.Join(root, "lib", "python3.12", "site-packages", "vllm-"+version+".dist-info"), 0o755); err != nil {
			t.Fatal(err)
		}
		script, err := os.ReadFile(config.VLLM)
		if err == nil {
			err = os.Mkdir(filepath.Join(root, "bin"), 0o755)
		}
		config.VLLM = filepath.Join(root, "bin", "vllm")
		if err == nil {
			err = os.WriteFile(config.VLLM, script, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		s := demoSpec(1)
		s.Preset, s.Options = VLLM, map[string]string{"task": "embed"}
		start(t, New(config), s)
		args := noted(t, record[VLLM])[0].Args
		for _, flag := range []string{"--host", "--uds", "--disable-log-requests", "--task", "--runner"} {
			if slices.Contains(args, flag) != slices.Contains(want, flag) {
				t.Errorf("%s: %q, want %q", version, args, want)
			}
		}
	}
}

// A failure long before the last line is what the error is about.
func TestDriverFailure(t *testing.T) {
	config, _ := fakeConfig(t, "no-memory")
	s := demoSpec(1)
	s.Preset = VLLM
	e, err := New(config).Open(s)
	if err != nil {
		t.Fatal(err)
	}
	err = e.Start(t.Context())
	if spec.CodeOf(err) != spec.CodeOutOfMemory || !strings.Contains(err.Error(), "less than desired GPU memory utilization") {
		t.Errorf("%v", err)
	}
}

func TestWeights(t *testing.T) {
	config, _ := fakeConfig(t, "")
	for name, c := range map[string]struct{ weights, model, code string }{
		"there":       {"m", "", ""},
		"not there":   {"n", "", "engine_unavailable"},
		"outside":     {"../m", "", "invalid_request"},
		"absolute":    {"/etc", "", "invalid_request"},
		"hidden":      {".m", "", "invalid_request"},
		"a flag":      {"-m", "", "invalid_request"},
		"both":        {"m", "lota", "invalid_request"},
		"none at all": {"", "", "invalid_request"},
	} {
		s := Spec{Preset: VLLM, Model: c.model, Options: map[string]string{}}
		if c.weights != "" {
			s.Options["weights"] = c.weights
		}
		err := New(config).Check(s)
		if c.code == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if c.code != "" {
			expect(t, err, c.code, "")
		}
	}
	bare := config
	bare.Models = ""
	expect(t, New(bare).Check(Spec{Preset: VLLM, Options: map[string]string{"weights": "m"}}), "engine_unavailable", "engines.models")
	expect(t, New(config).Check(Spec{Preset: Triton, Model: "lota"}), "invalid_request", "weights")
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]version{
		"0.10.2rc1": {0, 10, 2}, "v1.2": {1, 2}, "0.8.5.post1": {0, 8, 5}, "2": {2}, "": {}, "dev": {}, "0.11.0+cu128": {0, 11, 0}, "9999999.1": {999999},
	} {
		if got := parseVersion(text); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
	if (version{}).before(version{0, 11, 0}) || !(version{0, 10, 9}).before(version{0, 11, 0}) || (version{0, 11, 0}).before(version{0, 11, 0}) {
		t.Error("the order is wrong")
	}
}
