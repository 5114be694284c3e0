package engine

import (
	"os"
	"runtime"
)

// tinyModel is the size below which a second thread costs more than it does.
const tinyModel = 64 << 20

// threads is how many an engine should use; 0: as it likes. One more than the cores makes llama.cpp
// slower a hundredfold, since its threads spin at barriers.
func threads(o options, model string) int {
	if n := o.number("threads"); n > 0 {
		return min(n, runtime.NumCPU())
	}
	if info, err := os.Stat(model); err == nil && info.Size() < tinyModel {
		return 1
	}
	return 0
}
