package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// format is that of the meta file. It only rises; an unknown one is not listed.
const format = 1

// meta is what a meta file holds.
type meta struct {
	Format             int                  `json:"format"`
	Version            raft.SnapshotVersion `json:"version"` // Raft's
	ID                 string               `json:"id"`
	Index              uint64               `json:"index"`
	Term               uint64               `json:"term"`
	Configuration      raft.Configuration   `json:"configuration"`
	ConfigurationIndex uint64               `json:"configuration_index"`
	Size               int64                `json:"size"`   // of the state, bytes
	SHA256             string               `json:"sha256"` // of the state, hex
}

func (m *meta) raft() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: m.Version, ID: m.ID, Index: m.Index, Term: m.Term, Size: m.Size,
		Configuration: m.Configuration.Clone(), ConfigurationIndex: m.ConfigurationIndex,
	}
}

// newer orders the newest first.
func newer(a, b *meta) int {
	switch {
	case a.Index != b.Index:
		return sign(a.Index < b.Index)
	case a.Term != b.Term:
		return sign(a.Term < b.Term)
	default:
		return bytes.Compare([]byte(b.ID), []byte(a.ID))
	}
}

func sign(later bool) int {
	if later {
		return 1
	}
	return -1
}

// encode makes two lines: the meta in JSON, and the digest of the first line,
// so that not even a changed digit goes unnoticed.
func (m *meta) encode() ([]byte, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(line)
	return fmt.Appendf(line, "\n%x\n", sum), nil
}

// ErrDamaged is wrapped by the error of opening a snapshot that does not match
// its digest.
var ErrDamaged = errors.New("the snapshot is damaged")

// errFormat says that a later build wrote the snapshot.
var errFormat = errors.New("the snapshot has a format that this build does not know")

// decodeMeta reads the meta file of the snapshot id.
func decodeMeta(id string, raw []byte) (*meta, error) {
	line, digest, ok := bytes.Cut(raw, []byte("\n"))
	if sum := sha256.Sum256(line); !ok || string(digest) != hex.EncodeToString(sum[:])+"\n" {
		return nil, fmt.Errorf("%w: its meta file does not match the digest", ErrDamaged)
	}
	var m meta
	if err := json.Unmarshal(line, &m); err != nil {
		return nil, fmt.Errorf("%w: its meta file: %w", ErrDamaged, err)
	}
	switch {
	case m.Format > format:
		return nil, fmt.Errorf("%w: %d, it knows %d", errFormat, m.Format, format)
	case m.Format != format || m.ID != id || m.Size < 0 || m.Version < raft.SnapshotVersionMin || m.Version > raft.SnapshotVersionMax:
		return nil, fmt.Errorf("%w: its meta file says what cannot be", ErrDamaged)
	}
	return &m, nil
}
