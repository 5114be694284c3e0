package gateway

import "github.com/lotabots/lotabots/cluster/wire"

// A shapeView is a wire.ModelShape as JSON; the numbers are bytes or tokens.
type shapeView struct {
	Architecture   string  `json:"architecture"`
	Quantisation   string  `json:"quantisation"`
	Parameters     uint64  `json:"parameters"`
	WeightBytes    uint64  `json:"weight_bytes"`
	HostBytes      uint64  `json:"host_bytes"`
	Layers         uint32  `json:"layers"`
	Context        uint32  `json:"context"`
	Embedding      uint32  `json:"embedding"`
	Vocabulary     uint32  `json:"vocabulary"`
	KVPerToken     float64 `json:"kv_bytes_per_token"`
	WindowPerToken float64 `json:"window_bytes_per_token"`
	Window         uint32  `json:"window"`
	StateBytes     uint64  `json:"state_bytes"`
	Chat           bool    `json:"chat"`
	Embeddings     bool    `json:"embeddings"`
	Rerank         bool    `json:"rerank"`
}

// viewShape is nil for a model whose file was not understood.
func viewShape(s *wire.ModelShape) *shapeView {
	if s == nil {
		return nil
	}
	return &shapeView{Architecture: s.Architecture, Quantisation: s.Quantisation, Parameters: s.Parameters, WeightBytes: s.WeightBytes,
		HostBytes: s.HostBytes, Layers: s.Layers, Context: s.TrainedContext, Embedding: s.Embedding, Vocabulary: s.Vocabulary,
		KVPerToken: s.KvBytesPerToken, WindowPerToken: s.WindowBytesPerToken, Window: s.Window, StateBytes: s.StateBytes,
		Chat: s.Chat, Embeddings: s.Embeddings, Rerank: s.Rerank}
}
