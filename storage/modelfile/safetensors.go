package modelfile

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	maxTensorHeader = 100 << 20 // the format's own bound
	maxConfig       = 4 << 20
)

// tensors sums up what safetensors files hold.
type tensors struct {
	bytes, parameters uint64
	kinds             map[string]uint64 // bytes by type
}

// dominant is the type that most bytes have.
func (t tensors) dominant() string {
	best := ""
	for kind, n := range t.kinds {
		if best == "" || n > t.kinds[best] || n == t.kinds[best] && kind < best {
			best = kind
		}
	}
	return best
}

// header takes in the header of one safetensors file of so many bytes.
func (t *tensors) header(r io.Reader, size int64) error {
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return fmt.Errorf("its header is cut short: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxTensorHeader || int64(n) > size-8 {
		return fmt.Errorf("it promises a header of %d bytes", n)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(r, raw); err != nil {
		return fmt.Errorf("its header is cut short: %w", err)
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(raw, &entries); err != nil {
		return fmt.Errorf("its header is no JSON: %w", err)
	}
	data := uint64(size) - 8 - n
	for name, entry := range entries {
		if name == "__metadata__" {
			continue
		}
		if err := t.tensor(entry, data); err != nil {
			return fmt.Errorf("its tensor %.60q %w", name, err)
		}
	}
	return nil
}

// tensor takes in one tensor of a file with so many bytes of data.
func (t *tensors) tensor(entry json.RawMessage, data uint64) error {
	var e struct {
		Kind    string    `json:"dtype"`
		Shape   []uint64  `json:"shape"`
		Offsets [2]uint64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(entry, &e); err != nil {
		return fmt.Errorf("is not described: %w", err)
	}
	if e.Offsets[0] > e.Offsets[1] || e.Offsets[1] > data {
		return fmt.Errorf("lies outside of the file")
	}
	count := uint64(1)
	for _, n := range e.Shape {
		over, product := bits.Mul64(count, n)
		if over != 0 {
			return fmt.Errorf("is too large")
		}
		count = product
	}
	size := e.Offsets[1] - e.Offsets[0]
	if count > 8*size { // even types of less than a bit have no more
		return fmt.Errorf("has %d elements in %d bytes", count, size)
	}
	t.bytes, t.parameters = t.bytes+size, t.parameters+count
	if t.kinds == nil {
		t.kinds = map[string]uint64{}
	}
	t.kinds[clip(e.Kind)] += size
	return nil
}

// readFolder reads a model as Hugging Face lays it out.
func readFolder(path string) (*wire.ModelShape, error) {
	names, err := filepath.Glob(filepath.Join(path, "*.safetensors"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: the folder has no safetensors (pickled weights, as in .bin and .pt files, are not loaded)", ErrNotUnderstood)
	}
	var t tensors
	for _, name := range names {
		if err := t.file(name); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrNotUnderstood, filepath.Base(name), err)
		}
	}
	raw, err := readSmall(filepath.Join(path, "config.json"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotUnderstood, err)
	}
	s, err := fromConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: config.json: %w", ErrNotUnderstood, err)
	}
	s.WeightBytes, s.Parameters = t.bytes, t.parameters
	if s.Quantisation == "" {
		s.Quantisation = t.dominant()
	}
	s.Chat = hasTemplate(path)
	if _, err := os.Stat(filepath.Join(path, "1_Pooling")); err == nil {
		s.Embeddings = !s.Rerank
	}
	return s, nil
}

func (t *tensors) file(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return t.header(f, info.Size())
}

func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(raw) > maxConfig {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("it has more than %d bytes", maxConfig)}
	}
	return raw, err
}

// hasTemplate tells whether the tokenizer comes with a chat template.
func hasTemplate(path string) bool {
	if _, err := os.Stat(filepath.Join(path, "chat_template.jinja")); err == nil {
		return true
	}
	raw, err := readSmall(filepath.Join(path, "tokenizer_config.json"))
	if err != nil {
		return false
	}
	var c map[string]json.RawMessage
	return json.Unmarshal(raw, &c) == nil && !slices.Contains([]string{"", "null", `""`}, strings.TrimSpace(string(c["chat_template"])))
}
