// Package native reads answers of engines that speak a client's API themselves: Anthropic's
// Messages and OpenAI's Responses. They pass as they come; what is read is how they end and
// what they took, so that a request is judged and accounted for as any other.
//
// The gateway makes one Answer for each request, and the relay uses it. It imports
// gateway/openai, fastjson and cluster/spec. Not done: an answer that breaks off does not go on
// elsewhere; it ends with an error event of the client's API.
package native
