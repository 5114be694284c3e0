package engine

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	// pickleHead is how much of a file is looked at.
	pickleHead = 512
	// maxTarEntries bounds the search for a pickle in a tar.
	maxTarEntries = 4096
)

// oldPickle are the beginnings of pickles of the protocols 0 and 1, which have no mark of their own: the
// number by which PyTorch's older files begin, a name to be called (GLOBAL, INST), or an empty list, tuple or
// dictionary that is then remembered or filled. Others can be made; names are what keeps those out (guard).
var oldPickle = regexp.MustCompile(`^(?:L119547037146038801333356L\n` +
	`|\(*c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n(?:[()]|p\d+\n|q[\x00-\x1f])` +
	`|\(+i[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n` +
	`|(?:\([dlt]|[\]})])(?:p\d+\n|q[\x00-\x1f]))`)

// pickled goes by what a file begins with, whatever its name: PyTorch's files are zips with a pickle inside,
// or, older ones, tars or pickles themselves.
func pickled(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // the engine, which may read no more than we, says so
	}
	defer f.Close()
	head := make([]byte, pickleHead)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	head = head[:n]
	switch info, err := f.Stat(); {
	case n < 4:
		return false
	case head[0] == 0x80 && head[1] >= 2 && head[1] <= 5: // PROTO and its number
		return true
	case oldPickle.Match(head):
		return true
	case err != nil || !info.Mode().IsRegular():
		return false
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return pickleInside(f, info.Size())
	default:
		return n == pickleHead && pickleInTar(io.NewSectionReader(f, 0, info.Size()))
	}
}

func pickleInside(f io.ReaderAt, size int64) bool {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return true // a damaged archive that some reader may read all the same
	}
	for _, entry := range z.File {
		if strings.HasSuffix(strings.ToLower(entry.Name), ".pkl") {
			return true
		}
	}
	return false
}

// pickleInTar tells of a tar, and of nothing else, whether it has a pickle as PyTorch has written them there.
func pickleInTar(f io.Reader) bool {
	t := tar.NewReader(f)
	for n := 0; ; n++ {
		entry, err := t.Next()
		switch {
		case err != nil:
			return n > 0 && !errors.Is(err, io.EOF) // damaged, as with a zip
		case n == maxTarEntries:
			return true
		}
		if name := strings.ToLower(filepath.Base(entry.Name)); name == "pickle" || strings.HasSuffix(name, ".pkl") {
			return true
		}
	}
}
