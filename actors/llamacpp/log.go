package llamacpp

import (
	"bytes"
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
			if line := unsafe.Slice(text, length(text)); !brokenOff(line) {
				_, _ = os.Stderr.Write(line)
			}
		}
		return 0
	})
}

// brokenOff tells of the lines about a computation that was ended because nobody wanted it any more: status 1 of ggml, 2 of llama.cpp.
func brokenOff(line []byte) bool {
	for _, end := range []string{"compute status: 1\n", "failed with error 1\n", "failed to decode, ret = 2\n"} {
		if bytes.HasSuffix(line, []byte(end)) {
			return true
		}
	}
	return false
}

// length is that of a C string, at most maxLogLine.
func length(text *byte) (n int) {
	for n < maxLogLine && *(*byte)(unsafe.Add(unsafe.Pointer(text), n)) != 0 {
		n++
	}
	return n
}
