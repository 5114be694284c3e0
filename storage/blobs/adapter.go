package blobs

import (
	"archive/tar"
	"bytes"
	"path"
)

// formatAdapter is a model's format that is a LoRA adapter as PEFT writes it: a tar of
// the adapter's configuration and its safetensors.
const formatAdapter = "peft-tar"

// holdsAdapter tells whether a file that begins so is such a tar: one of the two files
// is in its beginning. Whoever unpacks it takes no other files.
func holdsAdapter(head []byte) bool {
	const ustar = 257 // where POSIX and GNU tars have their mark
	if len(head) < ustar+5 || string(head[ustar:ustar+5]) != "ustar" {
		return false
	}
	for archive := tar.NewReader(bytes.NewReader(head)); ; {
		h, err := archive.Next()
		if err != nil {
			return false
		}
		if name := path.Base(h.Name); h.Typeflag == tar.TypeReg && (name == "adapter_config.json" || name == "adapter_model.safetensors") {
			return true
		}
	}
}
