package modelfile

import (
	"fmt"
	"strings"

	parser "github.com/gpustack/gguf-parser-go"

	"github.com/lotabots/lotabots/cluster/wire"
)

// poolRank is the pooling type of models that score a document for a query.
const poolRank = 4

// readGGUF reads a GGUF whose header scan has found to be sound. The library
// panics at numbers that make no sense.
func readGGUF(path string, said facts) (shape *wire.ModelShape, err error) {
	defer func() {
		if r := recover(); r != nil {
			shape, err = nil, fmt.Errorf("%w: %v", ErrNotUnderstood, r)
		}
	}()
	f, err := parser.ParseGGUFFile(path, parser.SkipLargeMetadata())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotUnderstood, err)
	}
	a := f.Architecture()
	if a.Type != "model" {
		return nil, fmt.Errorf("%w: it is a %.40q, no model", ErrNotUnderstood, a.Type)
	}
	s := &wire.ModelShape{Architecture: clip(a.Architecture), Quantisation: clip(f.Metadata().FileTypeDescriptor),
		Parameters: uint64(f.ModelParameters), Layers: uint32(a.BlockCount), TrainedContext: uint32(min(a.MaximumContextLength, maxContext)),
		Embedding: uint32(min(a.EmbeddingLength, maxContext)), Vocabulary: uint32(min(a.VocabularyLength, maxContext)), Chat: said.chat}
	s.Embeddings, s.Rerank = said.pooling > 0 || !a.AttentionCausal, said.pooling == poolRank
	if s.Rerank {
		s.Embeddings = false
	}
	weights(f, s)
	cache(f, &a, s)
	return s, nil
}

const maxContext = 1 << 30 // of what is a number of tokens or a width

// weights tells those on a device that has all layers from those that llama.cpp
// keeps in the host's memory.
func weights(f *parser.GGUFFile, s *wire.ModelShape) {
	e := f.EstimateLLaMACppRun(parser.WithLLaMACppContextSize(probe))
	for _, d := range e.Devices[1:] {
		s.WeightBytes += uint64(d.Weight.Sum())
	}
	s.HostBytes = uint64(e.Devices[0].Weight.Input)
	if s.WeightBytes == 0 {
		s.WeightBytes = f.TensorInfos.Bytes()
	}
}

// Contexts at which the library is asked, larger than all windows: the cache grows
// by a straight line there.
const probe = 1 << 20

// cache finds what a token and what a sequence takes by asking for the cache at
// several sizes, so that whatever the library knows of an architecture's layers is in it.
func cache(f *parser.GGUFFile, a *parser.GGUFArchitecture, s *wire.ModelShape) {
	ask := func(context, sequences int32, more ...parser.GGUFRunEstimateOption) float64 {
		e := f.EstimateLLaMACppRun(append(more, parser.WithLLaMACppContextSize(context), parser.WithParallelSize(sequences))...)
		sum := 0.0
		for _, d := range e.Devices {
			sum += float64(d.KVCache.Sum())
		}
		return sum
	}
	full := parser.WithLLaMACppFullSizeSWACache()
	everywhere := (ask(2*probe, 1, full) - ask(probe, 1, full)) / probe
	s.KvBytesPerToken = max(0, (ask(2*probe, 1)-ask(probe, 1))/probe)
	s.WindowBytesPerToken = max(0, everywhere-s.KvBytesPerToken)
	if s.WindowBytesPerToken > 0 {
		s.Window = uint32(min(a.AttentionSlidingWindow, maxContext))
	}
	s.StateBytes = uint64(max(0, ask(probe, 2, full)-ask(probe, 1, full)))
}

// clip keeps names of strangers short, and such that a record can hold them.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 64)], "") }
