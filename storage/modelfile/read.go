package modelfile

import (
	"errors"
	"fmt"
	"os"

	"github.com/lotabots/lotabots/cluster/wire"
)

// ErrNotUnderstood is in the errors of Read for files that say nothing of
// themselves that Read knows: no GGUF, damaged, or of an unknown layout. Other
// errors are of reading.
var ErrNotUnderstood = errors.New("the model's file is not understood")

// Read returns the shape of the model at path, a GGUF or a folder with
// config.json and safetensors.
func Read(path string) (*wire.ModelShape, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return readFolder(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	said, err := scan(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotUnderstood, err)
	}
	return readGGUF(path, said)
}
