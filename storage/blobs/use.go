package blobs

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"time"
)

// use notes that an engine is about to load the model. It is a file's time: what
// has been used least recently is known after a restart too.
func (s *Store) use(digest []byte) {
	name := filepath.Join(s.used(), hex.EncodeToString(digest))
	now := time.Now()
	if os.Chtimes(name, now, now) != nil {
		_ = os.WriteFile(name, nil, 0o600) // the note is lost, not the model
	}
}

func (s *Store) used() string { return filepath.Join(s.dir, "used") }
