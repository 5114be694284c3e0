package blobs

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/lotabots/lotabots/cluster/spec"
)

// headerSize is what a GGUF file begins with: magic, version, number of tensors,
// number of metadata entries. All numbers are little-endian.
const headerSize = 24

// Least sizes in the file, in bytes: of a metadata entry (length of the key,
// type, a value of one byte) and of a tensor's description (length of the name,
// number of dimensions, type, offset).
const (
	leastEntry  = 8 + 4 + 1
	leastTensor = 8 + 4 + 4 + 8
)

// A header is what a GGUF file says of itself in its first bytes.
type header struct {
	Version uint32
	Tensors uint64
	Entries uint64
}

// known are the beginnings of files that are given instead of a GGUF.
var known = []struct {
	prefix string
	is     string
	hint   string
}{
	{"version https://git-lfs", "a pointer of Git LFS, not the file itself", "Fetch the file with git lfs pull, and import that."},
	{"PK\x03\x04", "a zip archive, as PyTorch saves its models", "Convert the model to GGUF with llama.cpp's convert_hf_to_gguf.py."},
	{"\x80\x02", "a Python pickle, as PyTorch saves its models", "Convert the model to GGUF with llama.cpp's convert_hf_to_gguf.py."},
	{"\x1f\x8b", "a gzip archive", "Unpack it first."},
	{"\x28\xb5\x2f\xfd", "a Zstandard archive", "Unpack it first."},
	{"ggml", "a model in GGML's format of before GGUF", "Take a GGUF of the model."},
	{"fmgg", "a model in GGML's format of before GGUF", "Take a GGUF of the model."},
	{"lmgg", "a model in GGML's format of before GGUF", "Take a GGUF of the model."},
	{"tjgg", "a model in GGML's format of before GGUF", "Take a GGUF of the model."},
	{"<", "a web page", "Download the file itself; the page may ask for a login or a licence's acceptance."},
	{"{", "JSON", "Import the model's .gguf file."},
}

// checkHeader reads the first bytes of a file (all of it, if it is shorter) and
// says what is wrong if they are not those of a GGUF that engines read.
func checkHeader(head []byte) (header, error) {
	if len(head) == 0 {
		return header{}, invalid("The file is empty.", "Import the model's .gguf file.")
	}
	if !bytes.HasPrefix(head, []byte("GGUF")) {
		return header{}, notGGUF(head)
	}
	if len(head) < headerSize {
		return header{}, invalid(fmt.Sprintf("The file ends after %d bytes, in the middle of a GGUF's header.", len(head)), "Download it again.")
	}
	h := header{
		Version: binary.LittleEndian.Uint32(head[4:]), Tensors: binary.LittleEndian.Uint64(head[8:]), Entries: binary.LittleEndian.Uint64(head[16:]),
	}
	switch {
	case h.Version == 1:
		return h, invalid("The file is a GGUF of version 1, which engines no longer read.", "Take a newer GGUF of the model.")
	case h.Version&0xffff == 0 && h.Version != 0:
		return h, invalid("The file is a big-endian GGUF.", "Take a little-endian GGUF of the model.")
	case h.Version != 2 && h.Version != 3:
		return h, invalid(fmt.Sprintf("The file is a GGUF of version %d; versions 2 and 3 are known.", h.Version), "Upgrade the node, or take a GGUF of version 3.")
	case h.Tensors == 0:
		return h, invalid("The GGUF holds no tensors: it is a vocabulary, not a model.", "Import the GGUF with the model's weights.")
	}
	return h, nil
}

// checkSize tells whether a file of that size can hold what its header promises.
// It catches the grossest truncations only: the digest is what says that a file
// is the right one.
func (h header) checkSize(size uint64) error {
	const sane = 1 << 32 // keeps the products from overflowing
	if h.Tensors > sane || h.Entries > sane || size < headerSize+h.Tensors*leastTensor+h.Entries*leastEntry {
		return invalid(fmt.Sprintf("The file has %d bytes, too few for the %d tensors and %d metadata entries that its header names: it is cut short or damaged.",
			size, h.Tensors, h.Entries), "Download it again.")
	}
	return nil
}

func notGGUF(head []byte) error {
	if len(head) > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) < 1<<32 {
		return invalid("The file is no GGUF: it looks like a safetensors file.", "Convert the model to GGUF with llama.cpp's convert_hf_to_gguf.py.")
	}
	for _, k := range known {
		if bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte(k.prefix)) || bytes.HasPrefix(head, []byte(k.prefix)) {
			return invalid("The file is no GGUF: it looks like "+k.is+".", k.hint)
		}
	}
	return invalid(fmt.Sprintf("The file is no GGUF: it begins with %q instead of \"GGUF\".", head[:min(len(head), 8)]), "Import the model's .gguf file.")
}

func invalid(message, hint string) error {
	return &spec.Error{Code: spec.CodeInvalidRequest, Message: message, Param: "file", Hint: hint}
}
