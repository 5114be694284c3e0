package llamacpp

import (
	"log/slog"
	"runtime"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Config says what an engine serves and how.
type Config struct {
	Libraries  string // directory of llama.cpp's libraries
	Model      string // path of the GGUF
	Name       string // default model name in answers; empty: the file's name
	Context    int    // tokens per request; 0: the model's, at most defaultContext
	Slots      int    // requests at a time; 0: defaultSlots
	Threads    int    // 0: by the model's size and the cores
	Device     string // "cpu", or the number of a GPU
	Embeddings string // "auto" and "on": on demand, "off"
	Log        *slog.Logger
}

const (
	defaultContext = 8192
	defaultSlots   = 4
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
	if n, err := strconv.Atoi(c.Device); c.Device != "cpu" && (err != nil || n < 0) {
		return bad("device", "device is %q; it must be cpu or the number of a GPU", c.Device)
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

// threads never exceeds the cores: llama.cpp's threads spin at barriers, so one too many costs a
// hundredfold. A tiny model is done before a second thread has woken up.
func threads(wanted int, modelBytes uint64) int32 {
	cores := runtime.NumCPU()
	if wanted == 0 {
		wanted = cores
		if modelBytes < tinyModel {
			wanted = 1
		}
	}
	return int32(min(wanted, cores))
}

func bad(param, format string, args ...any) error {
	e := spec.Errorf(spec.CodeEngineStart, format, args...)
	e.Param = param
	return e
}
