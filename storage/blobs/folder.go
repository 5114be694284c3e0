package blobs

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Formats of models of several files.
const (
	formatSafetensors = "safetensors"
	formatShards      = "gguf-split"
)

// Sizes of chunks of larger models, whose records would be long otherwise.
const (
	largeModel = 64 << 30
	largeChunk = 16 << 20
)

// ImportFolder keeps the files of a tar, which r gives to its end, as a model of that
// name, and returns its record as Import does: a directory of safetensors with their
// configuration and tokenizer, or the shards of a GGUF. What is in the archive is all
// there is: nothing is left out in silence. Entries of directories are passed over; one
// directory that all files are in is not part of their paths.
func (s *Store) ImportFolder(name string, r io.Reader) (*wire.Model, error) {
	if name == "" {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Message: "The model has no name.", Param: "name"}
	}
	dir, err := os.MkdirTemp(s.incoming(), "folder-")
	if err != nil {
		return nil, s.diskError(err)
	}
	defer os.RemoveAll(dir) // after adopt there is none of that name
	m, err := s.takeFolder(dir, r)
	if err != nil {
		return nil, fmt.Errorf("import model %s: %w", name, s.diskError(err))
	}
	m.Name = name
	c := content{filepath.Join(dir, "files"), layout(m)}
	if err := c.cut(m); err != nil {
		return nil, fmt.Errorf("import model %s: %w", name, err)
	}
	if err := check(m); err != nil {
		return nil, fmt.Errorf("import model %s: %w", name, err)
	}
	if _, err := s.adopt(c, m, true); err != nil {
		return nil, fmt.Errorf("import model %s: %w", name, err)
	}
	return m, nil
}

// takeFolder unpacks the archive to dir/files, and hashes each file on the way.
func (s *Store) takeFolder(dir string, r io.Reader) (*wire.Model, error) {
	unpacked, found := filepath.Join(dir, "unpacked"), []*wire.ModelPart{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if errors.Is(err, tar.ErrHeader) {
			return nil, invalid("What was sent is no tar of a directory.", "Give lotabots models import the directory itself.")
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, invalid("The tar that was sent is cut off.", "Send all of it.")
		}
		if err != nil {
			return nil, err
		}
		p, err := s.takePart(unpacked, h, archive)
		if err != nil {
			return nil, err
		}
		if p != nil {
			found = append(found, p)
		}
		if len(found) > maxParts {
			return nil, invalid(fmt.Sprintf("The directory has more than %d files.", maxParts), "Import the model's own directory alone.")
		}
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // what follows the archive's end
		return nil, err
	}
	root, parts := unpacked, found
	if above, one := commonDir(found); one {
		root = filepath.Join(unpacked, above)
		for _, p := range parts {
			p.Path = strings.TrimPrefix(p.Path, above+"/")
		}
	}
	slices.SortFunc(parts, func(a, b *wire.ModelPart) int { return strings.Compare(a.Path, b.Path) })
	m, err := describe(root, parts)
	if err != nil {
		return nil, err
	}
	return m, os.Rename(root, filepath.Join(dir, "files"))
}

// takePart writes one file of the archive; nil: the entry is none.
func (s *Store) takePart(root string, h *tar.Header, r io.Reader) (*wire.ModelPart, error) {
	name := path.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil, nil
	case tar.TypeReg:
	default:
		return nil, invalid(fmt.Sprintf("%.80q is a link or no file.", h.Name), "Import a directory of plain files: cp -rL copies what links lead to.")
	}
	if !plainPath(name) {
		return nil, invalid(fmt.Sprintf("A file cannot be called %.80q in a model.", h.Name), "Leave out hidden files, and rename files with unusual signs.")
	}
	at := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, invalid(fmt.Sprintf("%.80q is in the archive twice.", name), "Make the archive anew.")
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), r)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return &wire.ModelPart{Path: name, Size: uint64(n), Digest: sum.Sum(nil)}, nil
}

// commonDir is the directory that all files are in.
func commonDir(parts []*wire.ModelPart) (string, bool) {
	above := ""
	for _, p := range parts {
		first, _, nested := strings.Cut(p.Path, "/")
		if !nested || above != "" && first != above {
			return "", false
		}
		above = first
	}
	return above, above != ""
}

// describe tells what the files are, and refuses those that no engine is to load.
func describe(root string, parts []*wire.ModelPart) (*wire.Model, error) {
	m := &wire.Model{Parts: parts, ChunkSize: ChunkSize}
	for _, p := range parts {
		m.Size += p.Size
	}
	if m.Size > largeModel {
		m.ChunkSize = largeChunk
	}
	sum := sha256.Sum256(listing(parts))
	m.Digest = sum[:]
	var err error
	if m.Format, err = folderFormat(root, parts); err != nil {
		return nil, err
	}
	return m, nil
}

// cut reads the content once more, and notes the digests of its chunks: they are what
// every other node goes by, so they are to be of the files whose digests are known.
func (c content) cut(m *wire.Model) error {
	buf, sums := make([]byte, m.GetChunkSize()), newSums(c.at)
	for at := int64(0); at < int64(m.GetSize()); at += int64(len(buf)) {
		b := buf[:min(int64(len(buf)), int64(m.GetSize())-at)]
		if err := c.read(b, at); err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		m.Chunks = append(m.Chunks, sum[:])
		sums.write(b)
	}
	if sums.bad != nil {
		return spec.Errorf(spec.CodeModelDamaged, "The file %s reads otherwise than it was written: the disk is at fault.", sums.bad.path)
	}
	return nil
}

// pickles are the names of weights that can only be had by running what is in them.
var pickles = []string{".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}

func folderFormat(root string, parts []*wire.ModelPart) (string, error) {
	format, config := "", false
	for _, p := range parts {
		ext := strings.ToLower(path.Ext(p.Path))
		if slices.Contains(pickles, ext) {
			return "", invalid(fmt.Sprintf("%.80s holds pickled weights, which run code when they are loaded.", p.Path),
				"Convert the model to safetensors, or leave the file out where the directory has safetensors beside it.")
		}
		top := !strings.Contains(p.Path, "/")
		switch {
		case top && ext == ".gguf":
			if err := checkShard(filepath.Join(root, p.Path), p); err != nil {
				return "", err
			}
			format = formatShards
		case top && ext == ".safetensors" && format == "":
			format = formatSafetensors
		}
		config = config || p.Path == "config.json"
	}
	switch {
	case format == "":
		return "", invalid("The directory holds no safetensors and no GGUF.", "Import the directory that has the model's config.json and .safetensors, or its .gguf files.")
	case format == formatSafetensors && !config:
		return "", invalid("The directory has safetensors and no config.json.", "Import the whole directory of the model, with its configuration and tokenizer.")
	}
	return format, nil
}

// checkShard looks at the beginning of a file that calls itself a GGUF.
func checkShard(name string, p *wire.ModelPart) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF {
		return err
	}
	h, err := checkHeader(head[:n])
	if err == nil {
		err = h.checkSize(p.Size)
	}
	if said := (*spec.Error)(nil); errors.As(err, &said) && !bytes.HasPrefix(head[:n], []byte("GGUF")) {
		said.Message = path.Base(p.Path) + ": " + said.Message
	}
	return err
}
