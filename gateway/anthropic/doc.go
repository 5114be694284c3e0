// Package anthropic is Anthropic's Messages API in terms of OpenAI's chat completions,
// which every engine serves: requests are translated to them, answers from them, whole
// or in events; and the form of that API's errors and lists.
//
// The gateway calls it. Everything here is a function of bytes and of what an answer has
// said so far; it imports gateway/chat, gateway/openai and cluster/spec alone.
//
// What has no counterpart is refused where leaving it out would change the answer, such
// as tools that Anthropic's servers run, and passed over where it would not, such as
// cache_control. Fields that are not Anthropic's pass on, so that what engines know beside
// (seed, min_p, chat_template_kwargs) can be used.
//
// thinking: enabled, adaptive and between_tools ask the model's template for it, and
// what the model thinks is told in blocks; disabled asks it not to think. Without the
// field the model does as it is used to, and what it thinks is not told, so that the
// first block is the answer's text. budget_tokens bounds nothing: engines know no such
// bound. Signatures are a constant, and are not looked at.
//
// An engine that does not tell which stop string ended an answer gets end_turn for it.
// A stream's usage is told at its end; at its beginning it is 0.
package anthropic
