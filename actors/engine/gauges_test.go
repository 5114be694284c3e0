package engine

import (
	"bytes"
	"testing"
)

func TestParseGauges(t *testing.T) {
	const vllm = `# HELP vllm:num_requests_running Number of requests
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a } b"} 2.0
vllm:num_requests_running{engine="1",model_name="x"} 3.0 1700000000
vllm:num_requests_waiting{engine="0"} 1
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.75
vllm:num_requests_running_total 99
`
	for name, c := range map[string]struct {
		text, engine string
		want         Load
	}{
		"vllm":          {vllm, "vllm", Load{Known: true, Running: 5, Queued: 1, KVUse: 0.5}},
		"older vllm":    {"vllm:num_requests_running 0\nvllm:gpu_cache_usage_perc 3", "vllm", Load{Known: true, KVUse: 1}},
		"sglang":        {"sglang:num_running_reqs{x=\"\"} 4\nsglang:num_queue_reqs 2\nsglang:token_usage 0.1\nsglang:num_retracted_requests_total 3", "sglang", Load{Known: true, Running: 4, Queued: 2, KVUse: 0.1, Preempted: 3}},
		"vllm v0":       {"vllm:num_requests_running 1\nvllm:num_requests_waiting 1\nvllm:num_requests_swapped 2", "vllm", Load{Known: true, Running: 1, Queued: 3}},
		"vllm's tokens": {"vllm:prompt_tokens_total{e=\"0\"} 7\nvllm:generation_tokens_total{e=\"0\"} 20\nvllm:generation_tokens_total{e=\"1\"} 3", "vllm", Load{Written: 23, Steps: 30}},
		"sglang's tokens": {`sglang:num_running_reqs 1
sglang:realtime_tokens_total{mode="prefill_compute",tp="0"} 900
sglang:realtime_tokens_total{tp="0",mode="decode"} 11
sglang:realtime_tokens_total{mode="decode",tp="1"} 4
sglang:realtime_tokens_total{xmode="decode"} 100
sglang:realtime_tokens_total{xmode="decode",mode="decode
sglang:realtime_tokens_total 100
sglang:generation_tokens_total 100`, "sglang", Load{Known: true, Running: 1, Written: 15}},
		"triton":       {"nv_inference_pending_request_count{model=\"m\"} 3", "triton", Load{Known: true, Queued: 3}},
		"tgi":          {"tgi_batch_current_size 1\ntgi_queue_size 7\r\n", "tgi", Load{Known: true, Running: 1, Queued: 7}},
		"another's":    {vllm, "sglang", Load{}},
		"empty":        {"", "vllm", Load{}},
		"not a number": {"tgi_batch_current_size NaN\ntgi_queue_size -1\ntgi_queue_size +Inf\ntgi_queue_size\ntgi_queue_size{ 1", "tgi", Load{}},
	} {
		if got := parseGauges([]byte(c.text), gauges[c.engine]); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func FuzzParseGauges(f *testing.F) {
	f.Add([]byte("sglang:realtime_tokens_total{a=\"mode=\",mode=\"decode\"} 3\nsglang:realtime_tokens_total{mode=\"} 3"))
	f.Add([]byte("vllm:num_requests_running{a=\"}\"} 1e3 5\nvllm:kv_cache_usage_perc 1e300"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l := parseGauges(text, gauges["vllm"])
		if l.Running < 0 || l.Queued < 0 || l.KVUse < 0 || l.KVUse > 1 || !l.Known && l.Running > 0 {
			t.Errorf("%q reads %+v", text, l)
		}
		if l := parseGauges(text, gauges["sglang"]); l.Written > 0 && !bytes.Contains(text, []byte(`mode="decode"`)) || l.Steps > 0 {
			t.Errorf("%q reads %+v", text, l)
		}
	})
}
