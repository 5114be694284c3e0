// Package demo holds lota-tiny, the small language model that ships with LotaBots: enough to try
// the whole way of a request, a long streamed answer included, on a machine without a GPU and
// without a network. MODEL_CARD.md says what it can and cannot do; train/ makes it.
//
// The package embeds data and imports the standard library only.
package demo
