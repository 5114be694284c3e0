// Package chat writes requests of OpenAI's chat completions and reads their answers,
// whole or in events, for who translates another API to them.
//
// gateway/anthropic and gateway/responses call it. Everything here is a function of
// bytes; it imports gateway/openai and cluster/spec alone.
package chat
