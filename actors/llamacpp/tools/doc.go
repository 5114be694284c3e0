// Package tools is how models are shown the tools of a request, and how the calls are read that they write. It is pure.
//
// Families of models were taught different forms; ForModel tells by the chat template which one a model knows:
//
//	hermes    Hermes, Qwen 2.5 and 3 and who follows them: <tool_call>{"name": …, "arguments": …}</tool_call>
//	llama3    Llama 3.1 and later: {"name": …, "parameters": …} as the whole answer, one call
//	mistral   [TOOL_CALLS] and a list of calls
//	generic   any other: the form of hermes, explained in the system message
//
// A Watch sees the first words of a call in what a model writes freely, so that from there on a grammar
// (package grammar) can be kept to; a Parser makes text and calls of the whole, as it comes: however the text
// is split, the calls are the same. What does not have the form of a call, which no grammar lets happen, is text.
//
// actors/llamacpp calls it. It imports actors/llamacpp/openai, actors/llamacpp/grammar and the standard library only.
package tools
