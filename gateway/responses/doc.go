// Package responses is OpenAI's Responses API in terms of its chat completions, which
// every engine serves: requests are translated to them, answers from them, whole or in
// events.
//
// The gateway calls it. Everything here is a function of bytes and of what an answer has
// said so far; it imports gateway/chat, gateway/openai and cluster/spec alone.
//
// Nothing is stored: store is taken and answered with false, and what would need a stored
// answer (previous_response_id, conversation, background, prompt, item_reference) is
// refused with a hint to send the history. Of tools, functions alone are taken: the others
// are run by OpenAI. What a model thinks is an item of type reasoning with its text in
// content, and may be sent back so. Fields that are not of this API pass on.
package responses
