package blobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"github.com/lotabots/lotabots/cluster/wire"
)

// Bounds of a model of several files.
const (
	maxParts    = 4096
	maxPartPath = 240 // bytes
)

// An extent is one file of a model, and where in the model's content it begins:
// the content is its files one after the other, and chunks go over that.
type extent struct {
	path         string // in the model's directory; empty: the model is one file
	offset, size int64
	digest       []byte
}

// layout is what a record, which was checked, says of the model's files.
func layout(m *wire.Model) []extent {
	if len(m.GetParts()) == 0 {
		return []extent{{size: int64(m.GetSize()), digest: m.GetDigest()}}
	}
	out, offset := make([]extent, 0, len(m.GetParts())), int64(0)
	for _, p := range m.GetParts() {
		out = append(out, extent{p.GetPath(), offset, int64(p.GetSize()), p.GetDigest()})
		offset += int64(p.GetSize())
	}
	return out
}

// within are the pieces of extents that hold length bytes from offset on.
func within(all []extent, offset int64, length int) []extent {
	var out []extent
	for _, e := range all {
		from, to := max(e.offset, offset), min(e.offset+e.size, offset+int64(length))
		if from < to {
			out = append(out, extent{path: e.path, offset: from - e.offset, size: to - from})
		}
	}
	return out
}

// listing is what sha256sum prints of a model's files, in their order: its SHA-256
// is the model's digest, so that anybody can tell it without this program.
func listing(parts []*wire.ModelPart) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		fmt.Fprintf(&b, "%s  %s\n", hex.EncodeToString(p.GetDigest()), p.GetPath())
	}
	return b.Bytes()
}

// checkParts tells whether the files that a record names make up its model.
func checkParts(m *wire.Model) error {
	parts := m.GetParts()
	if len(parts) == 0 {
		return nil
	}
	if len(parts) > maxParts {
		return fmt.Errorf("the record of model %s has %d files, want %d at most", m.GetName(), len(parts), maxParts)
	}
	size, before := uint64(0), ""
	for _, p := range parts {
		switch {
		case !plainPath(p.GetPath()):
			return fmt.Errorf("the record of model %s has a file %.80q", m.GetName(), p.GetPath())
		case p.GetPath() <= before:
			return fmt.Errorf("the record of model %s has the file %.80q out of order", m.GetName(), p.GetPath())
		case len(p.GetDigest()) != sha256.Size || p.GetSize() > m.GetSize():
			return fmt.Errorf("the record of model %s does not tell what its file %.80q is", m.GetName(), p.GetPath())
		}
		size, before = size+p.GetSize(), p.GetPath()
	}
	if size != m.GetSize() {
		return fmt.Errorf("the record of model %s has files of %d bytes and a size of %d", m.GetName(), size, m.GetSize())
	}
	if sum := sha256.Sum256(listing(parts)); !bytes.Equal(sum[:], m.GetDigest()) {
		return fmt.Errorf("the record of model %s has files that are not those of its digest", m.GetName())
	}
	return nil
}

// plainPath tells whether a file of that path stays in its model's directory, and is
// seen there: letters, digits and a few signs, slashes between, nothing hidden.
func plainPath(p string) bool {
	if p == "" || len(p) > maxPartPath || path.Clean(p) != p || path.IsAbs(p) {
		return false
	}
	for _, name := range strings.Split(p, "/") {
		if strings.HasPrefix(name, ".") {
			return false
		}
	}
	for _, r := range []byte(p) {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.IndexByte("/._-+=@ ,()[]", r) >= 0) {
			return false
		}
	}
	return true
}
