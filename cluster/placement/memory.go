package placement

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/wire"
)

// An Estimate is the memory that one instance of a deployment takes, by parts: on each of its devices.
type Estimate struct {
	Parts []Part
	// Context and Slots are what the cache was reckoned for; 0: not reckoned.
	Context, Slots uint32
}

// A Part is some of an instance's memory and what it is for, in words for people.
type Part struct {
	Name  string
	Bytes uint64
	Text  string
}

// Names of parts.
const (
	PartStated   = "stated"   // by the deployment
	PartFile     = "file"     // of a model that says nothing of itself
	PartWeights  = "weights"  //
	PartCache    = "cache"    // of keys and values, for all slots
	PartWindow   = "window"   // the same, in layers that attend to a window
	PartState    = "state"    // of recurrent layers
	PartBuffers  = "buffers"  // activations and logits of one batch
	PartVectors  = "vectors"  // what embeddings take beside the cache
	PartAdapters = "adapters" // LoRA, as many as are loaded at a time
	PartOverhead = "overhead" // of the engine itself
)

// Bytes is the sum of the parts.
func (e Estimate) Bytes() (sum uint64) {
	for _, p := range e.Parts {
		sum = plus(sum, p.Bytes)
	}
	return sum
}

// String lists the parts in MiB.
func (e Estimate) String() string {
	texts := make([]string, len(e.Parts))
	for i, p := range e.Parts {
		texts[i] = fmt.Sprintf("%s %d MiB", p.Name, ceilMiB(p.Bytes))
	}
	return fmt.Sprintf("%d MiB: %s", ceilMiB(e.Bytes()), strings.Join(texts, ", "))
}

// Memory is what one instance of d reserves: Estimated's sum.
func Memory(d *wire.Deployment, m *wire.Model, adapters ...*wire.Model) uint64 {
	return Estimated(d, m, adapters...).Bytes()
}

// What engines do where a deployment says nothing, as far as their memory depends
// on it; the presets of llama.cpp and Ollama agree.
const (
	defaultContext = 8192 // tokens per slot, at most what the model was trained on
	defaultSlots   = 4
	batch          = 512       // tokens that are worked on at a time
	embedBatch     = 2048      // tokens of a text that the embedded engine makes a vector of, at least
	engineOverhead = 128 << 20 // of the program, and of what it keeps for conversations that go on
)

// Estimated reckons the memory of one instance of d, before it has ever run: what
// the deployment states; nothing for an engine outside of the cluster's hands; else
// weights, cache for context and slots, buffers and overhead from the model's
// shape. A model without a shape takes its file, a quarter for cache and buffers,
// and a fixed part. The token table counts, though some engines keep it in the
// host's memory: a device may be the host. Of several devices each has its share of weights and caches, and
// buffers and overhead of its own; what is stated is for each. m is nil where d has no model;
// adapters are the models of its own.
func Estimated(d *wire.Deployment, m *wire.Model, adapters ...*wire.Model) Estimate {
	switch s := m.GetShape(); {
	case d.Engine == "external":
		return Estimate{}
	case d.MemoryBytes > 0:
		return Estimate{Parts: []Part{{PartStated, d.MemoryBytes, "as the deployment states"}}}
	case m == nil:
		return Estimate{}
	case s == nil:
		n := uint64(max(d.Gpus, 1))
		return Estimate{Parts: append(adapted(d, adapters), []Part{{PartFile, m.Size/n + min(m.Size%n, 1), "the model's file, which says nothing of its layers" + each(d)},
			{PartBuffers, m.Size / 4, "a quarter of the file, for cache and buffers"}, {PartOverhead, engineOverhead, "the engine itself"}}...)}
	default:
		return shaped(d, s, adapters)
	}
}

func shaped(d *wire.Deployment, s *wire.ModelShape, adapters []*wire.Model) Estimate {
	e := Estimate{Context: contextOf(d, s), Slots: d.Slots}
	if e.Slots == 0 {
		e.Slots = defaultSlots
	}
	add := func(name string, bytes float64, format string, args ...any) {
		if bytes >= 1 {
			e.Parts = append(e.Parts, Part{name, round(bytes), fmt.Sprintf(format, args...)})
		}
	}
	slots, context, share, of := float64(e.Slots), float64(e.Context), share(d, s), each(d)
	add(PartWeights, share*(float64(s.WeightBytes)+float64(s.HostBytes)), "%s weights, %s parameters%s", s.Quantisation, counted(s.Parameters), of)
	add(PartCache, share*s.KvBytesPerToken*context*slots, "%d slots of %d tokens at %.0f bytes%s", e.Slots, e.Context, s.KvBytesPerToken, of)
	if s.Window > 0 {
		held := min(context*slots, float64(s.Window)*slots+2048) // an engine keeps a batch beside the windows
		add(PartWindow, share*s.WindowBytesPerToken*held, "%d slots with windows of %d tokens at %.0f bytes%s", e.Slots, s.Window, s.WindowBytesPerToken, of)
	} else {
		add(PartWindow, share*s.WindowBytesPerToken*context*slots, "%d slots of %d tokens at %.0f bytes%s", e.Slots, e.Context, s.WindowBytesPerToken, of)
	}
	add(PartState, share*float64(s.StateBytes)*slots, "recurrent state of %d slots%s", e.Slots, of)
	add(PartBuffers, batch*row(s, context*slots), "activations and logits of %d tokens at a time", batch)
	if always := d.Options["embeddings"] == "on" || s.Embeddings || s.Rerank; d.Engine == "embedded" && (always || d.Options["embeddings"] != "off") {
		text := float64(embedBatch) // until the first request for some, it is for that
		if always {
			text = max(embedBatch, context)
		}
		if s.TrainedContext > 0 {
			text = min(text, float64(s.TrainedContext))
		}
		add(PartVectors, text*(share*(s.KvBytesPerToken+s.WindowBytesPerToken)+row(s, text)), "a text of %.0f tokens, read in one step", text)
	}
	e.Parts = append(e.Parts, adapted(d, adapters)...)
	add(PartOverhead, engineOverhead, "the engine itself")
	return e
}

// loadedAdapters is how many of a deployment's adapters its engine has at a time, where the option max-loras
// does not say; llama-server has all.
const loadedAdapters = 8

// adapted is the memory of the largest adapters that are loaded at a time, as their files are; nothing where
// there are none.
func adapted(d *wire.Deployment, adapters []*wire.Model) []Part {
	most := len(adapters)
	if d.Engine != "llama-server" {
		most = min(most, loadedAdapters)
		if n, err := strconv.Atoi(d.Options["max-loras"]); err == nil && n > 0 {
			most = min(len(adapters), n)
		}
	}
	var sizes []uint64
	for _, a := range adapters {
		sizes = append(sizes, a.GetSize())
	}
	slices.SortFunc(sizes, func(a, b uint64) int { return cmp.Compare(b, a) })
	var sum uint64
	for _, n := range sizes[:most] {
		sum = plus(sum, n)
	}
	if sum == 0 {
		return nil
	}
	return []Part{{PartAdapters, sum, fmt.Sprintf("the largest %d of %d adapters, as their files are", most, len(adapters))}}
}

// contextOf is how many tokens each slot holds: no more than the model was trained on.
func contextOf(d *wire.Deployment, s *wire.ModelShape) uint32 {
	context := d.Context
	if context == 0 {
		context = defaultContext
	}
	if s.TrainedContext > 0 {
		context = min(context, s.TrainedContext)
	}
	return context
}

// row is what each token of a batch takes in buffers, in 32-bit numbers: logits over
// the vocabulary, some rows of the width of activations (a feed-forward layer is some
// three to five wide and holds three at a time), and a mask over all that is cached.
func row(s *wire.ModelShape, cached float64) float64 {
	const rows = 16
	return 4*(float64(s.Vocabulary)+rows*float64(s.Embedding)) + 2*cached
}

// share is the part of weights and caches that the fullest of the instance's devices
// has: whole layers, of which what comes after the last counts as one.
func share(d *wire.Deployment, s *wire.ModelShape) float64 {
	n := float64(max(d.Gpus, 1))
	if n == 1 || s.Layers == 0 {
		return 1 / n
	}
	layers := float64(s.Layers) + 1
	return math.Ceil(layers/n) / layers
}

// each says that what it stands after is for one device of several.
func each(d *wire.Deployment) string {
	if d.Gpus <= 1 {
		return ""
	}
	return fmt.Sprintf("; of them the share of one of %d devices", d.Gpus)
}

// counted is n as people say it.
func counted(n uint64) string {
	if n >= 1e9 {
		return fmt.Sprintf("%.3g billion", float64(n)/1e9)
	}
	return fmt.Sprintf("%.3g million", float64(n)/1e6)
}

// round is bytes as a whole number, however large.
func round(bytes float64) uint64 {
	if !(bytes < math.MaxInt64) {
		return math.MaxInt64
	}
	return uint64(math.Ceil(bytes))
}

// plus is a+b, or the greatest number where that is more.
func plus(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

func ceilMiB(n uint64) uint64 { return n>>20 + min(n&(1<<20-1), 1) }
