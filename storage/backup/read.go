package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// A Reader opens a backup. Read gives the snapshot of the older state in it, to
// io.EOF; after that, Next gives the entries from there, and what was read is
// whole once Next has said io.EOF. Anything wrong with the file, its very end
// included, is another error.
type Reader struct {
	Manifest Manifest // as the sealed part says it

	file   *counted
	packed io.Reader // what was compressed
	close  func()
	sum    hash.Hash
	left   int   // bytes of the present block
	based  error // what Read says from now on
	ended  error // what Next says from now on
	index  uint64
	term   uint64
	buffer bytes.Buffer // the present entry
}

// NewReader reads the beginning of a backup. Close it.
func NewReader(file io.Reader, keys ...age.Identity) (*Reader, error) {
	r := &Reader{file: &counted{r: file}, sum: sha256.New()}
	_, line, err := readHead(r.file)
	if err != nil {
		return nil, err
	}
	sealed, err := age.Decrypt(r.file, keys...)
	if err != nil {
		if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return nil, fault(r.file, "the head of the sealed part", err)
	}
	packed, err := zstd.NewReader(sealed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fault(r.file, "the compressed part", err)
	}
	r.packed, r.close = packed, packed.Close
	if err := r.manifest(line); err != nil {
		r.Close()
		return nil, fault(r.file, "the manifest", err)
	}
	return r, nil
}

// Close lets go of the memory that reading takes.
func (r *Reader) Close() { r.close() }

func (r *Reader) manifest(line []byte) error {
	n, err := r.size()
	if err != nil {
		return err
	}
	if n > maxManifest {
		return fmt.Errorf("it claims %d bytes and may have %d", n, maxManifest)
	}
	raw := make([]byte, n)
	if err := r.full(raw); err != nil {
		return err
	}
	if !bytes.Equal(raw, line) {
		return errors.New("the first line in clear is not the one that was sealed")
	}
	r.Manifest, err = decodeManifest(raw)
	r.index = r.Manifest.From
	return err
}

func (r *Reader) full(p []byte) error {
	_, err := io.ReadFull(r.packed, p)
	r.sum.Write(p)
	return err
}

// Read gives the next bytes of the snapshot.
func (r *Reader) Read(p []byte) (int, error) {
	if r.based != nil {
		return 0, r.based
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.read(p)
	if err != nil && !errors.Is(err, errEnd) {
		r.ended = fault(r.file, "the sealed state", err)
		err = r.ended
	}
	if r.based = err; errors.Is(err, errEnd) {
		r.based = io.EOF
	}
	return n, r.based
}

var errEnd = errors.New("the part was read to its good end")

func (r *Reader) read(p []byte) (int, error) {
	if r.left == 0 {
		n, err := r.size()
		switch {
		case err != nil:
			return 0, err
		case n == 0:
			if r.Manifest.Format == 1 { // it has no entries
				return 0, r.end()
			}
			return 0, errEnd
		case n > blockBytes:
			return 0, fmt.Errorf("a block claims %d bytes and may have %d", n, blockBytes)
		}
		r.left = int(n)
	}
	n, err := r.packed.Read(p[:min(len(p), r.left)])
	r.sum.Write(p[:n])
	r.left -= n
	if errors.Is(err, io.EOF) {
		err = nil // the end of a backup is more than that of its blocks: the next read tells
		if n == 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// end verifies the digest, and that nothing follows it.
func (r *Reader) end() error {
	want, got := r.sum.Sum(nil), make([]byte, sha256.Size)
	if _, err := io.ReadFull(r.packed, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("its digest is not that of its content")
	}
	n, err := io.ReadFull(r.packed, got[:1])
	if n != 0 {
		return errors.New("the backup goes on after its end")
	}
	if !errors.Is(err, io.EOF) { // the last chunk's seal is checked by this read
		return err
	}
	r.ended = io.EOF
	return errEnd
}
