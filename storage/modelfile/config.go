package modelfile

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/lotabots/lotabots/cluster/wire"
)

// config is what memory depends on of a config.json. Models that see or hear have
// the text's part in text_config.
type config struct {
	Type          string   `json:"model_type"`
	Architectures []string `json:"architectures"`
	Text          *config  `json:"text_config"`

	Hidden     uint32 `json:"hidden_size"`
	Layers     uint32 `json:"num_hidden_layers"`
	Heads      uint32 `json:"num_attention_heads"`
	KVHeads    uint32 `json:"num_key_value_heads"`
	HeadWidth  uint32 `json:"head_dim"`
	Vocabulary uint32 `json:"vocab_size"`
	Context    uint32 `json:"max_position_embeddings"`

	Window        uint32   `json:"sliding_window"`
	WindowUsed    *bool    `json:"use_sliding_window"`
	WindowPattern uint32   `json:"sliding_window_pattern"`
	LayerKinds    []string `json:"layer_types"`

	LatentWidth uint32 `json:"kv_lora_rank"` // keys and values of all heads together
	RoPEWidth   uint32 `json:"qk_rope_head_dim"`

	Quantised struct {
		Method string `json:"quant_method"`
		Bits   uint32 `json:"bits"`
	} `json:"quantization_config"`
}

// fromConfig makes what it can of a config.json; weights are elsewhere. The state
// of layers that do not attend (layer kind linear_attention, say) is not known here.
func fromConfig(raw []byte) (*wire.ModelShape, error) {
	var c config
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	s := &wire.ModelShape{Architecture: clip(c.Type)}
	for _, a := range c.Architectures {
		s.Rerank = s.Rerank || strings.HasSuffix(a, "ForSequenceClassification")
		s.Embeddings = s.Embeddings || strings.HasSuffix(a, "Model")
	}
	if m := c.Quantised.Method; m != "" {
		s.Quantisation = clip(m)
		if c.Quantised.Bits > 0 {
			s.Quantisation = fmt.Sprintf("%s %d-bit", s.Quantisation, c.Quantised.Bits)
		}
	}
	if t := c.Text; t != nil && t.Layers > 0 {
		t.Text = nil
		c = *t
	}
	if c.Layers == 0 || c.Layers > maxCount || c.Hidden == 0 || c.Hidden > maxContext || c.Heads > maxCount || c.KVHeads > maxCount || len(c.LayerKinds) > maxCount {
		return nil, fmt.Errorf("it has %d layers of width %d with %d heads", c.Layers, c.Hidden, c.Heads)
	}
	s.Layers, s.Embedding = c.Layers, c.Hidden
	s.Vocabulary, s.TrainedContext = min(c.Vocabulary, maxContext), min(c.Context, maxContext)
	perLayer := c.perLayer()
	whole, windowed := c.attending()
	s.KvBytesPerToken = perLayer * float64(whole)
	if windowed > 0 {
		s.WindowBytesPerToken, s.Window = perLayer*float64(windowed), min(c.Window, maxContext)
	}
	return s, nil
}

// perLayer is what a token takes in a layer that attends, at 16 bits.
func (c *config) perLayer() float64 {
	if c.LatentWidth > 0 {
		return 2 * (float64(c.LatentWidth) + float64(c.RoPEWidth))
	}
	heads, width := float64(c.KVHeads), float64(c.HeadWidth)
	if heads == 0 {
		heads = float64(c.Heads)
	}
	if width == 0 && c.Heads > 0 {
		width = float64(c.Hidden) / float64(c.Heads)
	}
	return 2 * 2 * heads * width
}

// attending counts the layers that attend to everything and those that attend to a window.
func (c *config) attending() (whole, windowed uint32) {
	windows := c.Window > 0 && (c.WindowUsed == nil || *c.WindowUsed)
	if len(c.LayerKinds) > 0 {
		for _, kind := range c.LayerKinds {
			switch {
			case kind == "sliding_attention" && windows:
				windowed++
			case kind == "full_attention" || kind == "sliding_attention" || kind == "chunked_attention":
				whole++
			}
		}
		return whole, windowed
	}
	switch {
	case !windows:
		return c.Layers, 0
	case c.WindowPattern > 1: // each so-many-th layer attends to everything
		whole = c.Layers / c.WindowPattern
		return whole, c.Layers - whole
	}
	return 0, c.Layers
}
