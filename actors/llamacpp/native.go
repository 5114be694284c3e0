package llamacpp

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/actors/llamacpp/tuning"
	"github.com/lotabots/lotabots/cluster/spec"
)

// loading guards the process-wide state of the libraries: one build per process.
var loading struct {
	sync.Mutex
	dir, variant string
}

// loadLibraries opens the libraries in dir once, of those for the CPU the variant, or llama.cpp's choice.
func loadLibraries(dir, variant string) error {
	loading.Lock()
	defer loading.Unlock()
	if loading.dir == dir && loading.variant == variant {
		return nil
	}
	if loading.dir != "" {
		return spec.Errorf(spec.CodeEngineStart, "the libraries of %s %s are in use in this process", loading.dir, loading.variant)
	}
	backends := dir
	if variant != "" {
		only, err := tuning.Isolate(dir, variant)
		if err != nil {
			return &spec.Error{Code: spec.CodeEngineUnavailable, Message: "there is no variant " + variant + " of llama.cpp's libraries", Err: err, Hint: "Leave --variant away"}
		}
		defer func() { _ = os.RemoveAll(only) }()
		backends = only
	}
	// without this a failed assertion starts a debugger, which can hang
	if err := os.Setenv("GGML_NO_BACKTRACE", "1"); err != nil {
		return err
	}
	if err := llama.Load(dir); err != nil {
		return &spec.Error{
			Code: spec.CodeEngineUnavailable, Err: err,
			Message: "llama.cpp's libraries in " + dir + " cannot be loaded: " + err.Error(),
			Hint:    "They must be llama.cpp " + library.Release + " for this machine, with libstdc++ and glibc 2.34 or newer",
		}
	}
	llama.LogSet(errorsToStderr())
	llama.BackendInit()
	if err := llama.GGMLBackendLoadAllFromPath(backends); err != nil {
		return err
	}
	if llama.GGMLBackendDeviceCount() == 0 {
		return &spec.Error{
			Code: spec.CodeEngineUnavailable, Message: "none of llama.cpp's CPU variants in " + backends + " runs on this machine",
			Hint: "Copy every libggml-cpu-*.so of the build into that directory",
		}
	}
	loading.dir, loading.variant = dir, variant
	return nil
}

// A model is the weights and the vocabulary; it is read by many goroutines, written by none.
type model struct {
	handle   llama.Model
	vocab    llama.Vocab
	name     string
	template string
	tokens   int32 // in the vocabulary
	trained  int   // context, in tokens
	length   int32 // of an embedding
	bytes    uint64
	cpu      bool // alone
	encoder  bool
	decoder  bool
	whole    bool // a sequence can be forgotten as a whole only, as recurrent models do
	begin    llama.Token
	known    []atomic.Pointer[spelling] // by token; nil: not asked yet
	cover    cover
	controls []string // texts of the control tokens, which a user's text must not smuggle in

	controlTokens []llama.Token // those tokens
}

// openModel tells on the way which part of the file it has read, 0 to 1. told may be nil.
func openModel(path, device string, told func(part float32)) (*model, error) {
	p := llama.ModelDefaultParams()
	if told != nil {
		p.SetProgressCallback(func(part float32, _ uintptr) uint8 {
			told(part)
			return 1 // go on
		})
	}
	devices, err := placement(&p, device)
	if err != nil {
		return nil, err
	}
	handle, err := llama.ModelLoadFromFile(path, p)
	runtime.KeepAlive(devices)
	if err != nil {
		return nil, &spec.Error{
			Code: spec.CodeEngineStart, Err: err, Message: "llama.cpp cannot load " + path,
			Hint: "Check that the file is a whole GGUF of an architecture that llama.cpp " + library.Release + " knows, and that the memory suffices",
		}
	}
	m := &model{
		handle: handle, vocab: llama.ModelGetVocab(handle), template: llama.ModelChatTemplate(handle, ""),
		trained: int(llama.ModelNCtxTrain(handle)), length: llama.ModelNEmbd(handle), bytes: llama.ModelSize(handle),
		encoder: llama.ModelHasEncoder(handle), decoder: llama.ModelHasDecoder(handle),
		name: strings.TrimSuffix(filepath.Base(path), ".gguf"), cpu: device == "cpu",
	}
	m.whole = llama.ModelIsRecurrent(handle) || llama.ModelIsHybrid(handle)
	m.begin = llama.VocabBOS(m.vocab)
	m.tokens = llama.VocabNTokens(m.vocab)
	m.known = make([]atomic.Pointer[spelling], m.tokens)
	texts, attrs := make([]string, m.tokens), make([]llama.TokenAttr, m.tokens)
	for t := range m.tokens {
		texts[t], attrs[t] = llama.VocabGetText(m.vocab, llama.Token(t)), llama.VocabGetAttr(m.vocab, llama.Token(t))
		if texts[t] != "" && attrs[t]&llama.TokenAttrControl != 0 {
			m.controls, m.controlTokens = append(m.controls, texts[t]), append(m.controlTokens, llama.Token(t))
		}
	}
	m.cover = m.coverOf(texts, attrs)
	return m, nil
}

// contextParams are llama.cpp's, but for what was measured: its flash attention, meant for GPUs, halves
// the speed on a CPU.
func (m *model) contextParams() llama.ContextParams {
	p := llama.ContextDefaultParams()
	if m.cpu {
		p.FlashAttentionType = llama.FlashAttentionTypeDisabled
	}
	return p
}

// placement puts the model on the CPU alone, or whole on one GPU, or its layers on several. The slice it
// returns must live until the model is loaded.
func placement(p *llama.ModelParams, device string) ([]llama.GGMLBackendDevice, error) {
	devices := []llama.GGMLBackendDevice{0}
	p.NGpuLayers, p.SplitMode, p.MainGpu = 0, llama.SplitModeNone, -1
	if device != "cpu" {
		numbers, err := gpuNumbers(device)
		if err != nil {
			return nil, err
		}
		gpus := gpus()
		devices = nil
		for _, n := range numbers {
			if n >= len(gpus) {
				e := spec.Errorf(spec.CodeEngineUnavailable, "GPU %d was asked for; llama.cpp's libraries see %d", n, len(gpus))
				e.Hint = "Use libraries built for this GPU (CUDA, Vulkan, ROCm), or --device cpu"
				return nil, e
			}
			devices = append(devices, gpus[n])
		}
		devices = append(devices, 0)
		p.NGpuLayers, p.MainGpu = 1<<20, 0
		if len(numbers) > 1 {
			p.SplitMode = llama.SplitModeLayer
		}
	}
	return devices, p.SetDevices(devices)
}

func gpus() []llama.GGMLBackendDevice {
	var found []llama.GGMLBackendDevice
	for i := range llama.GGMLBackendDeviceCount() {
		d := llama.GGMLBackendDeviceGet(i)
		if llama.GGMLBackendDevType(d) == llama.GGMLBackendDeviceTypeGPU {
			found = append(found, d)
		}
	}
	return found
}

// tokenize splits text; control tokens are recognised in it where parse is set.
func (m *model) tokenize(text string, begin, parse bool) []llama.Token {
	return llama.Tokenize(m.vocab, text, begin, parse)
}

// A spelling is what a token stands for. It is asked for once: every call into the library costs a little
// of each token's time.
type spelling struct {
	text  []byte // a control token has none
	width int    // bytes in a rendered text, where control tokens are spelt
	end   bool   // of an answer
}

func (m *model) spelling(t llama.Token) *spelling {
	if t < 0 || int32(t) >= m.tokens {
		return &spelling{}
	}
	if s := m.known[t].Load(); s != nil {
		return s
	}
	s := &spelling{text: m.pieceOf(t, false), width: len(m.pieceOf(t, true)), end: llama.VocabIsEOG(m.vocab, t)}
	m.known[t].Store(s)
	return s
}

func (m *model) pieceOf(t llama.Token, special bool) []byte {
	b := make([]byte, 64)
	n := llama.TokenToPiece(m.vocab, t, b, 0, special)
	if n < 0 {
		b = make([]byte, -n)
		n = llama.TokenToPiece(m.vocab, t, b, 0, special)
	}
	return b[:max(n, 0):max(n, 0)]
}

// piece is the bytes of a token, which nobody may change.
func (m *model) piece(t llama.Token) []byte { return m.spelling(t).text }

// width is how many bytes of a rendered text the token stands for.
func (m *model) width(t llama.Token) int { return m.spelling(t).width }

// checked takes tokens from outside; one beyond the vocabulary would abort the process.
func (m *model) checked(param string, tokens []int32) ([]llama.Token, error) {
	out := make([]llama.Token, len(tokens))
	for i, t := range tokens {
		if t < 0 || t >= m.tokens {
			return nil, &spec.Error{Code: spec.CodeInvalidRequest, Param: param, Message: "token " + strconv.Itoa(int(t)) + " is not in the vocabulary of " + strconv.Itoa(int(m.tokens))}
		}
		out[i] = llama.Token(t)
	}
	return out, nil
}
