package llamacpp

import (
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Levels of ggml's log.
const (
	logError    = 4
	logContinue = 5 // of the line before
)

// maxLogLine bounds what is taken of one call; llama.cpp's own lines are far shorter.
const maxLogLine = 4 << 10

// errorsToStderr is a callback for llama.cpp's log that passes on errors alone:
// they say why a load fails, and the node shows the engine's last lines. The
// libraries call it from any thread.
func errorsToStderr() uintptr {
	var last atomic.Int32
	return purego.NewCallback(func(level int32, text *byte, _ uintptr) uintptr {
		if level != logContinue {
			last.Store(level)
		}
		if last.Load() == logError && text != nil {
			_, _ = os.Stderr.Write(unsafe.Slice(text, length(text)))
		}
		return 0
	})
}

// length is that of a C string, at most maxLogLine.
func length(text *byte) (n int) {
	for n < maxLogLine && *(*byte)(unsafe.Add(unsafe.Pointer(text), n)) != 0 {
		n++
	}
	return n
}
