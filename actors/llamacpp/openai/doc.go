// Package openai reads the bodies of OpenAI's completion, chat and embedding requests as far as the
// embedded engine serves them, and writes the answers, the events of a stream and the errors in
// OpenAI's shape. It is pure: no engine, no clock of its own, no network.
//
// actors/llamacpp calls it. It imports cluster/spec, actors/llamacpp/grammar and the standard library only.
package openai
