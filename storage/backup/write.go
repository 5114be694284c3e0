package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/lotabots/lotabots/storage/state"
)

// blockBytes is the size of most blocks. A reader takes none larger.
const blockBytes = 64 << 10

// zstdWindow bounds the memory that compressing and decompressing take.
const zstdWindow = 1 << 20

// Write writes the backup of s to w as it goes, sealed to the recipients, and
// completes m by what it says of the state. Where it returns an error, what was
// written is no backup, and a reader notices.
func Write(w io.Writer, s *state.Frozen, m Manifest, to ...age.Recipient) (Manifest, error) {
	if len(to) == 0 {
		return m, errors.New("a backup is never written in clear: name a recipient or a passphrase")
	}
	var err error
	if m.Index, err = s.Index(); err != nil {
		return m, err
	}
	sum, err := s.Hash()
	if err != nil {
		return m, err
	}
	m.StateHash = hex.EncodeToString(sum)
	raw, err := m.encode()
	if err != nil {
		return m, fmt.Errorf("the backup's manifest: %w", err)
	}
	if m, err = decodeManifest(raw); err != nil {
		return m, err
	}
	if _, err := fmt.Fprintf(w, "%s%d %s\n", mark, Format, raw); err != nil {
		return m, err
	}
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return m, fmt.Errorf("sealing the backup: %w", err)
	}
	packed, err := zstd.NewWriter(sealed, zstd.WithWindowSize(zstdWindow), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return m, err
	}
	err = writeBody(packed, raw, s)
	if closing := packed.Close(); err == nil {
		err = closing
	}
	if err != nil { // without its last chunk, the age stream is cut short for every reader
		return m, err
	}
	return m, sealed.Close()
}

func writeBody(w io.Writer, manifest []byte, s *state.Frozen) error {
	b := &blocks{w: w, sum: sha256.New()}
	b.sized(manifest)
	if err := errors.Join(b.err, s.Write(b)); err != nil {
		return err
	}
	b.put(make([]byte, 4))
	b.put(b.sum.Sum(nil))
	return b.err
}

// blocks frames what is written, and hashes it.
type blocks struct {
	w   io.Writer
	sum hash.Hash
	err error
}

func (b *blocks) put(p []byte) {
	if b.err == nil {
		b.sum.Write(p)
		_, b.err = b.w.Write(p)
	}
}

func (b *blocks) sized(p []byte) {
	b.put(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
	b.put(p)
}

// Write implements io.Writer.
func (b *blocks) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && b.err == nil; {
		n := min(len(rest), blockBytes)
		b.sized(rest[:n])
		rest = rest[n:]
	}
	if b.err != nil {
		return 0, b.err
	}
	return len(p), nil
}
