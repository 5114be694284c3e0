package llamacpp

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/actors/llamacpp/tuning"
	"github.com/lotabots/lotabots/cluster/spec"
)

// Config says what an engine serves and how.
type Config struct {
	Libraries  string // directory of llama.cpp's libraries
	Model      string // path of the GGUF
	Name       string // default model name in answers; empty: the file's name
	Context    int    // tokens per request; 0: the model's, at most defaultContext
	Slots      int    // requests at a time; 0: defaultSlots
	CacheMiB   int    // of the main memory, for what slots give up; 0: defaultCache, negative: none
	Threads    int    // 0: as measured, or by the model's size and the cores
	Variant    string // of the libraries for the CPU; empty: as measured, or llama.cpp's choice
	Device     string // "cpu", or the number of a GPU, or those of several with commas
	Embeddings string // "auto" and "on": on demand, "off"
	Pooling    string // of embeddings: mean, cls, last, rank; empty: the model's, or mean
	// ChatTemplate is the name of one of llama.cpp's; empty: the model's.
	ChatTemplate string
	Log          *slog.Logger
	// Measure finds out which variant and how many threads are fastest, where that is not known; nil: nobody does.
	Measure tuning.Measurer

	// Told is told which part of the model has been loaded, 0 to 1; nil: nobody asks.
	Told func(part float32)

	batchThreads int // 0: Threads
}

const (
	defaultContext = 8192
	defaultSlots   = 4
	defaultCache   = 256 // MiB
	maxSlots       = 256 // llama.cpp's bound on sequences
	tinyModel      = 64 << 20
)

func (c *Config) check() error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Slots == 0 {
		c.Slots = defaultSlots
	}
	if c.Slots < 1 || c.Slots > maxSlots {
		return bad("slots", "slots is %d; it must lie between 1 and %d", c.Slots, maxSlots)
	}
	if c.Context < 0 || c.Threads < 0 {
		return bad("context", "context and threads must not be negative")
	}
	if c.Device == "" {
		c.Device = "cpu"
	}
	if strings.ContainsAny(c.Variant, "/\\\x00") {
		return bad("variant", "variant is %q; it must be what stands between libggml-cpu- and .so", c.Variant)
	}
	if _, err := gpuNumbers(c.Device); c.Device != "cpu" && err != nil {
		return err
	}
	if _, ok := poolings[c.Pooling]; !ok {
		return bad("pooling", "pooling is %q; it must be mean, cls, last or rank", c.Pooling)
	}
	switch c.Embeddings {
	case "":
		c.Embeddings = "auto"
	case "auto", "on", "off":
	default:
		return bad("embeddings", "embeddings is %q; it must be auto, on or off", c.Embeddings)
	}
	return nil
}

// tune fills in what was left to a measurement. A GPU leaves the processor little to do.
func (c *Config) tune(ctx context.Context) {
	if c.Measure == nil || c.Device != "cpu" || c.Variant != "" && c.Threads > 0 {
		return
	}
	info, err := os.Stat(c.Model)
	if err != nil {
		return // Open says it better
	}
	choice, ok := tuning.For(ctx, c.Libraries, info.Size(), c.Measure, c.Log)
	if !ok {
		return
	}
	if c.Variant == "" {
		c.Variant = choice.Variant
	}
	if c.Threads == 0 {
		c.Threads, c.batchThreads = choice.Threads, choice.BatchThreads
	}
}

func (c *Config) shelf() int {
	if c.CacheMiB == 0 {
		return defaultCache << 20
	}
	return max(c.CacheMiB, 0) << 20
}

// threads never exceed the cores: llama.cpp's threads spin at barriers, so one too many costs a
// hundredfold. Unmeasured, a tiny model is done before a second thread has woken up.
func (c *Config) threads(modelBytes uint64) (one, batch int32) {
	cores, wanted := tuning.Cores(), c.Threads
	if wanted == 0 {
		wanted = cores
		if modelBytes < tinyModel {
			wanted = 1
		}
	}
	more := wanted
	if c.batchThreads > 0 {
		more = c.batchThreads
	}
	return int32(min(wanted, cores)), int32(min(more, cores))
}

func bad(param, format string, args ...any) error {
	e := spec.Errorf(spec.CodeEngineStart, format, args...)
	e.Param = param
	return e
}

// gpuNumbers reads the numbers of GPUs.
func gpuNumbers(device string) (out []int, err error) {
	for text := range strings.SplitSeq(device, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || slices.Contains(out, n) {
			return nil, bad("device", "device is %q; it must be cpu, or numbers of GPUs, each once", device)
		}
		out = append(out, n)
	}
	return out, nil
}
