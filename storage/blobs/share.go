package blobs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// sharedMode lets everybody read a file. The directory is the gate: whom it keeps out finds no file.
const sharedMode = 0o644

// isDigest tells whether a name is a model's of several files.
func isDigest(name string) bool {
	raw, err := hex.DecodeString(name)
	return err == nil && len(raw) == sha256.Size
}

// Share lets a group read whole files, whose names it has to know: engines that run as another user are in
// it. It is called before anything else, by whoever may give the directory to the group.
func (s *Store) Share(gid int) error {
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		if err == nil && (e.IsDir() && isDigest(e.Name()) || e.Type().IsRegular() && filepath.Ext(e.Name()) == extension) {
			err = content{root: filepath.Join(s.dir, e.Name())}.open()
		}
	}
	if err == nil {
		err = os.Chown(s.dir, -1, gid)
	}
	if err == nil {
		err = os.Chmod(s.dir, 0o710)
	}
	if err != nil {
		return fmt.Errorf("share the model store: %w", err)
	}
	s.shared = true
	return nil
}
