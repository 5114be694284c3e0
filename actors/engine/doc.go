// Package engine runs the programs that compute: one Engine is one loaded model behind OpenAI's HTTP
// interface, in a process of its own or, for the preset external, somewhere else.
//
// package actors calls it: the instance actor opens, starts, probes and stops engines; requests pass
// through Do without any actor in between. Which programs may run is the node's configuration alone:
// whoever deploys a model chooses a preset and its typed options, never a command line. It may import
// no other room, and neither yzma nor go-nvml: those are linked by the helper lotabots-engine only.
//
// Every process is the leader of a session of its own, in the hands of a shim (package shim), which ends
// it when no process of the node claims it any more. Its output goes to a file of bounded size in RunDir,
// beside a directory of its own, the room, that is gone after it has stopped.
//
// Presets and their options:
//
//	embedded      threads, embeddings (auto, on, off), pooling (mean, cls, last, rank), chat-template (one of
//	              llama.cpp's), share-prefixes (on, off), cache-ram (MiB for conversations that have lost their slot; 64), max-loras
//	ollama        threads, gpu-layers, template (Ollama's, where it does not recognise the model's own), share-prefixes (on, off)
//	llama-server  threads, gpu-layers, embeddings (on, off), pooling (none, mean, cls, last, rank), share-prefixes (on, off)
//	vllm, sglang  weights (of the node's own), task (generate, embed, rerank), dtype, quantization, kv-cache-dtype,
//	              prefix-caching (on, off), share-prefixes (on, off), tool-parser, reasoning-parser, lora (on, off), max-loras, sleep (on, off), native (on, off)
//	triton        weights
//	external      url, model (its name there), health (path; default /v1/models), metrics (llama-server, sglang, tgi, vllm), native (on, off), share-prefixes (on, off)
//
// Beside them stand the presets that the node's file describes (package custom).
//
// Why an engine did not start is looked for in its whole log (Recognise).
//
// LoRA adapters (adapters.go) are loaded while the engine runs, but for llama-server, which has all of a
// deployment's from its start.
//
// Clients' requests go by package hop, the node's own questions, large bodies and TLS by net/http (post.go, web.go).
//
// Weights that are pickles are refused. External engines are dialled as actors/egress allows it.
//
// What is asked of every engine alike is made so here: counts of tokens in vLLM's form (counting.go), and answers
// that go on with what was begun without repeating it, as llama-server does (repeats.go).
//
// The embedded engine, vLLM and SGLang keep tenants' prefixes apart by CacheSalt. The others mix them: each notes in its
// Tenants whether several have used it (tenants.go), and who passes their answers on has Blanking overwrite, from then on,
// what they tell of their caches (blank.go). An engine that outlives the node's process is handed on with the one tenant
// that it served, or counts as shared. Messages tell it by input_tokens too, so that a shared engine is not asked in those.
//
// Engines run as Config.User, if there is one, in a directory of that user's inside the room.
//
// Not done: all engines of a node run as one user, so that one can end or read another; nobody calls Sleeper yet; by when an answer of
// theirs begins, engines that mix tenants still tell what they have cached; Triton and Ollama know no key. GPUs are handed to engines by CUDA_VISIBLE_DEVICES, which no test here has tried on a GPU;
// vLLM, SGLang and Triton are tested against scripts that record how they were called and
// answer as those do; external engines get no credentials, so they belong into a network that is trusted.
package engine
