package blobs

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// projects tells whether a GGUF turns images or sound into what a model beside it takes,
// and is none itself: by its name, as those who convert them call it, or by its header.
func projects(name string) bool {
	if strings.Contains(strings.ToLower(filepath.Base(name)), "mmproj") {
		return true
	}
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, _ := io.ReadFull(f, head)
	return isProjector(head[:n])
}

// isProjector reads the texts that a GGUF's metadata begins with: what it is comes first.
func isProjector(head []byte) bool {
	const text = 8 // GGUF's type of strings
	if len(head) < headerSize || !bytes.HasPrefix(head, []byte("GGUF")) {
		return false
	}
	rest := head[headerSize:]
	next := func() (string, bool) {
		if len(rest) < 8 {
			return "", false
		}
		n := binary.LittleEndian.Uint64(rest)
		if n > uint64(len(rest)-8) {
			return "", false
		}
		s := string(rest[8 : 8+n])
		rest = rest[8+n:]
		return s, true
	}
	for {
		key, ok := next()
		if !ok || len(rest) < 4 || binary.LittleEndian.Uint32(rest) != text {
			return false
		}
		rest = rest[4:]
		value, ok := next()
		switch {
		case !ok:
			return false
		case key == "general.architecture" && value == "clip", key == "general.type" && value == "mmproj":
			return true
		}
	}
}
