// Package llamacpp is the embedded engine: it serves one GGUF model by llama.cpp's shared libraries,
// with continuous batching, over HTTP in OpenAI's shape.
//
// One goroutine owns the generating context and everything in it (generator), one more the embedding
// context (embedder); requests reach them by channels and get their text through outboxes, so that a
// slow client holds nobody up. The libraries may abort the process, which is why the engine runs in
// lotabots-engine, a process of its own, and why nothing in it is worth keeping.
//
// # Steps
//
// A step decodes one batch: the next token of every running answer, and beside them parts of the prompts
// still to be read, as many tokens as take about 100 ms at the speed measured last (500 ms where nobody
// waits for a next token). Prompts with least left to read go first, and the one that came first has a quarter
// in any case. A cancellation frees its slot before the next step. Where others want the processors, fewer
// threads compute (crowded.go).
//
// # What is kept of prompts
//
// A slot keeps what it has read. A request gets the idle slot that holds most of its prompt, or a copy of
// the beginning that another slot holds, a running one included; where another request is just reading
// that beginning, it waits for it. What a slot has to give up goes to a shelf in the main memory
// (--cache-ram, 256 MiB unless told otherwise) and is put back when its conversation goes on, or dropped
// when the room is wanted for newer ones. Nothing is used across salts. The salt is the header
// X-LotaBots-Cache-Salt, else the body's cache_salt, else empty; each has at most 256 bytes.
// usage.prompt_tokens_details.cached_tokens tells what was not read again.
//
// GET /prefixes?epoch=E&since=N lists what is held, by the names that package prefix defines:
//
//	{"epoch":"K3…", "seq":42, "reset":false, "text_block":256, "token_block":64,
//	 "added":[{"name":"0f3a…","tokens":120}], "removed":["77c1…"]}
//
// epoch and seq are to be sent with the next request. reset says that what the reader knew is void and
// added is everything: at first, after the engine's restart, and for a reader more than 4,096 changes
// behind. tokens is how many tokens a prompt with this beginning will find, exact but for one or two where
// the tokens of what follows run into it. A name appears when its prompt has been read (with the answer,
// when that is there) and goes when neither a slot nor the shelf holds it any more.
//
// GET /load answers with a Load: exact counts as of the last step. GET /progress tells which part of the model has been
// loaded, while it is: {"load_progress":0.42}.
//
// # Threads
//
// Which of the libraries' variants for the CPU and how many threads is measured at a first start, about 4 s,
// and kept (package tuning). What a machine at work measured is measured again by a start that finds it calm.
//
// POST /tokenize tells the tokens of a chat or a completion as the model reads it, tools included:
// {"count":N, "max_model_len":N, "tokens":[...]}, as vLLM does.
//
// # Large texts
//
// llama.cpp's tokeniser takes a hundred times a text's bytes of memory and cannot be stopped. So what has more than 1 MiB,
// or 16 bytes for each token of the context, is refused by its size (bound.go), and what is to be answered also where
// it has more bytes than the longest token times the context. A text cut into pieces may have other tokens, so none is. Texts
// over 64 KiB take turns, and count as steps meanwhile, for two minutes each at most.
//
// # Adapters
//
// LoRA adapters are loaded and unloaded between two steps (adapters.go), from GGUFs. llama.cpp sets them for a
// context, not for a sequence: so each step is for the sequences of one adapter, or of none, and they take
// turns; decoding for three adapters at a time costs what three engines would. A prompt that one has read is
// kept for it alone: the adapter's file is part of the salt. Embeddings and ranks have no adapters.
//
// # Seeds
//
// The same request with the same seed gives the same text from the same build, threads and device while it
// runs alone. Beside others, or with another part of its prompt in the cache, the sums of a token are added
// up in another order, which can tip a choice between two tokens that are almost equally likely.
//
// # Continued answers
//
// A chat whose last message is the assistant's, with continue_final_message: true, goes on with that
// message; the answer is what is new. add_generation_prompt: false leaves the beginning of an answer out.
//
// A stream that broke off goes on exactly. With return_token_ids each choice of an event (and of a whole answer) tells
// its token_ids, those of tokens that no event has shown yet with the next one that there is. The same request with
//
//	"continuation": {"token_ids": [...], "events": N}
//
// goes on behind these tokens of its answer: they pass through grammar, stop strings and tools as when they were
// chosen, and the first N events (with a choice, the role's not counted) are not sent again. usage is the whole answer's. A sampled answer goes
// on as likely as another, not with the same chance events. Refused: several answers, logprobs
// where tools may be called, no stream.
//
// # JSON and scores
//
// response_format json_object and json_schema make the answer keep to a grammar (package grammar). logprobs
// are the model's own, before temperature, bias and grammar; tokens of a stop string have none.
//
// llama.cpp reads a grammar in all ways at once, on the loop that serves everybody, and cannot be interrupted. So
// before each step of a grammar its guard (grammar.Guard) counts the ways; where they are too many, that request ends.
//
// # Tools
//
// Tools are told, and calls and results written, in the form that the model's family was taught (package tools).
// Where tool_choice demands a call, a grammar has one written from the first token on, by the schema of the
// function's parameters; with auto, text is free until the family's mark of a call, and the grammar holds from there.
// So arguments are always whole JSON of the schema, unless max_tokens cuts them off: then finish_reason is length and
// the arguments are what there is of them. A schema that the grammar cannot keep to is refused for a strict tool;
// otherwise it keeps to what it can. After a call come further calls (not with parallel_tool_calls: false, nor in
// the family llama3) or the end: text stands before calls only.
//
// Stop strings end text, never a call. Tokens of calls have no logprobs. Beside response_format an answer is either
// calls or JSON of the format; models of the family llama3, whose calls are JSON themselves, are refused that.
// With tool_choice none the tools are not shown to the model. A message that is continued can call tools at its end,
// but not be made to.
//
// # Chats, vectors, ranks
//
// llama.cpp applies the model's chat template where it recognises its format (it runs no Jinja); else the
// format is told by control tokens, or by --chat-template. /v1/embeddings pools as the GGUF says, or
// --pooling. Texts and pairs of several requests are computed in common steps, one of each in turn. With the header
// X-LotaBots-Token-Counts usage has the tokens of each input as input_tokens. /v1/rerank needs a model with the pooling type rank; scores lie between 0 and 1. Under the
// name together it takes several requests in a list and answers in the same form: the node's way of asking for them in one call.
//
// Not there yet: functions (the older name of tools), best_of, echo, suffix, moving a sequence elsewhere. Fields that ask for these are refused by name. GPUs are
// placed on by --device N, which nobody has tried.
//
// node/cmd/lotabots-engine calls it, and nothing else may: it links libffi, which the node's binary
// must run without. It imports cluster/spec, its own subpackages and yzma's binding.
package llamacpp
