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
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/state"
)

// blockBytes is the size of most blocks. A reader takes none larger.
const blockBytes = 64 << 10

// zstdWindow bounds the memory that compressing and decompressing take.
const zstdWindow = 1 << 20

// Write writes the backup of s to w as it goes, sealed to the recipients, and
// completes m by what it says of the state. With h, which is a history of s, it
// restores to any index of that; without, to that of s alone. Where it returns an
// error, what was written is no backup, and a reader notices.
func Write(w io.Writer, s *state.Frozen, h *History, m Manifest, to ...age.Recipient) (Manifest, error) {
	if len(to) == 0 {
		return m, errors.New("a backup is never written in clear: name a recipient or a passphrase")
	}
	if err := m.describe(s, h); err != nil {
		return m, err
	}
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
	err = writeBody(packed, raw, s, h)
	if closing := packed.Close(); err == nil {
		err = closing
	}
	if err != nil { // without its last chunk, the age stream is cut short for every reader
		return m, err
	}
	return m, sealed.Close()
}

// describe says what the state and its history are.
func (m *Manifest) describe(s *state.Frozen, h *History) error {
	var err error
	if m.Index, err = s.Index(); err != nil {
		return err
	}
	sum, err := s.Hash()
	if err != nil {
		return err
	}
	m.StateHash = hex.EncodeToString(sum)
	m.From, m.FromTime, m.ToTime = m.Index, m.Time, m.Time
	if h == nil {
		return nil
	}
	m.From = h.from
	if !h.last.IsZero() && (!m.Current || h.last.After(m.Time)) { // later writes may be missing; clocks differ
		m.ToTime = h.last
	}
	if m.FromTime = m.ToTime; !h.first.IsZero() && h.first.Before(m.ToTime) {
		m.FromTime = h.first
	}
	return nil
}

func writeBody(w io.Writer, manifest []byte, s *state.Frozen, h *History) error {
	b := &blocks{w: w, sum: sha256.New()}
	b.sized(manifest)
	var err error
	switch {
	case h == nil:
		err = s.Write(b)
	case h.base != nil:
		_, err = h.base.WriteTo(b)
	}
	if err := errors.Join(b.err, err); err != nil {
		return err
	}
	b.put(make([]byte, 4))
	if h != nil {
		err = h.entries(b.entry)
	}
	if err := errors.Join(b.err, err); err != nil {
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
	raw []byte // of the present entry
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

func (b *blocks) entry(e *wire.Entry) (err error) {
	if b.raw, err = (proto.MarshalOptions{}).MarshalAppend(b.raw[:0], e); err != nil {
		return err
	}
	b.sized(b.raw)
	return b.err
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
