// Package prefix tells how much of a request's prompt each instance is expected to have read already.
//
// A Prompt is the names of a prompt's beginnings: the ends of a chain of sums, salted per tenant, as
// engines of this project name what they hold (actors/llamacpp/prefix has the rules, and examples
// that both sides are tested against). A Hasher makes it of what the router has parsed, in one pass.
//
// An Index has what actors announce: which instance holds which names, and how many tokens each is.
// Where an engine cannot tell, an Expectation guesses by the hash to the end of the first user message. It
// is tokens, never a verdict: a wrong one costs seconds in a score and nothing else.
//
// gateway/openai makes Prompts, gateway/balance owns the Index and asks it under its own lock. It
// imports the standard library alone. Nothing on the way of a request allocates.
package prefix
