package engine

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// gauges says by which metrics an engine tells its load; older and newer names stand side by side.
// Counts of several models or workers are added up, shares averaged.
var gauges = map[string]map[string]gauge{
	"vllm": {
		"vllm:num_requests_running": running, "vllm:num_requests_waiting": queued, "vllm:num_requests_swapped": queued,
		"vllm:kv_cache_usage_perc": kvUse, "vllm:gpu_cache_usage_perc": kvUse,
		"vllm:prompt_tokens_total": steps, "vllm:generation_tokens_total": written,
		"vllm:num_preemptions_total": preempted, "vllm:num_preemptions": preempted,
	},
	"sglang": {"sglang:num_running_reqs": running, "sglang:num_queue_reqs": queued, "sglang:token_usage": kvUse,
		`sglang:realtime_tokens_total{mode="decode"}`: written,                                            // generation_tokens_total grows at the ends of requests
		"sglang:num_retracted_requests_total":         preempted, "sglang:num_retracted_reqs": preempted}, // of the last moments alone: more than before are news
	"llama-server": {
		"llamacpp:requests_processing": running, "llamacpp:requests_deferred": queued, "llamacpp:kv_cache_usage_ratio": kvUse,
		"llamacpp:prompt_tokens_seconds": prefill, "llamacpp:predicted_tokens_seconds": decode,
		"llamacpp:n_decode_total": steps,
	},
	"triton": {"nv_inference_pending_request_count": queued},
	"tgi":    {"tgi_batch_current_size": running, "tgi_queue_size": queued},
}

type gauge uint8

const (
	running gauge = iota
	queued
	kvUse
	prefill
	decode
	steps   // counters that grow while one request is worked on: those that only grow at its end mislead
	written // likewise, of tokens; they are steps too, of an engine that tells others
	preempted
	gaugeCount
)

// parseGauges reads Prometheus' text; lines that it does not know, or that make no sense, count for nothing.
func parseGauges(text []byte, names map[string]gauge) Load {
	var sum, n [gaugeCount]float64
	for line := range bytes.Lines(text) {
		name, labels, value, ok := sample(string(bytes.TrimSpace(line)))
		g, known := names[name]
		if !known && labels != "" {
			g, known = names[name+modeOf(labels)]
		}
		if ok && known {
			sum[g] += value
			n[g]++
		}
	}
	share := 0.0
	if n[kvUse] > 0 {
		share = min(1, sum[kvUse]/n[kvUse])
	}
	if n[steps] > 0 {
		sum[steps] += sum[written]
	}
	count := func(g gauge) int { return int(min(sum[g], math.MaxInt32)) }
	return Load{
		Known: n[running]+n[queued] > 0, Running: count(running), Queued: count(queued), KVUse: share,
		PrefillTPS: sum[prefill], DecodeTPS: sum[decode], Written: uint64(sum[written]), Steps: uint64(sum[steps]), Preempted: uint64(sum[preempted]),
	}
}

// sample splits one line: name, labels in braces perhaps, value, a timestamp perhaps.
func sample(line string) (name, labels string, value float64, ok bool) {
	if line == "" || line[0] == '#' {
		return "", "", 0, false
	}
	end := strings.IndexAny(line, "{ \t")
	if end < 0 {
		return "", "", 0, false
	}
	name, rest := line[:end], line[end:]
	if rest[0] == '{' {
		closing := strings.LastIndexByte(rest, '}') // a value has no brace, a label's may
		if closing < 0 {
			return "", "", 0, false
		}
		labels, rest = rest[1:closing], rest[closing+1:]
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return "", "", 0, false
	}
	value, err := strconv.ParseFloat(fields[0], 64)
	if err != nil || math.IsNaN(value) || value < 0 || value > 1e12 {
		return "", "", 0, false
	}
	return name, labels, value, true
}

// modeOf is the label of that name, in braces, by which some metrics are several; empty: it has none.
func modeOf(labels string) string {
	const mode = `mode="`
	for at := 0; ; {
		i := strings.Index(labels[at:], mode)
		if i < 0 {
			return ""
		}
		from := at + i
		end := strings.IndexByte(labels[from+len(mode):], '"')
		if end < 0 {
			return ""
		}
		at = from + len(mode) + end + 1
		if from == 0 || labels[from-1] == ',' || labels[from-1] == ' ' { // not the end of another's name
			return "{" + labels[from:at] + "}"
		}
	}
}

// gaugedLoad asks /metrics.
func gaugedLoad(ctx context.Context, w *web, engine string) (Load, error) {
	raw, err := w.ask(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return Load{}, err
	}
	return parseGauges(raw, gauges[engine]), nil
}
