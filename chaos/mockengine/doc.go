// Package mockengine is a MOCK of an OpenAI-compatible engine: it answers with
// made-up tokens at a set pace, fails on demand, and remembers which requests
// it saw, so that a benchmark measures the way to an engine and a checker can
// count dispatches. It computes nothing and stands in for no engine in any test
// of one.
//
// The chaos harness and the benchmark run it. It serves by net/http and imports
// nothing of the project.
package mockengine
