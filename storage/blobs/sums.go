package blobs

import (
	"bytes"
	"crypto/sha256"
	"hash"
)

// sums hashes a model's files from the beginning of the first to the end of the
// last, and holds each against its digest.
type sums struct {
	left []extent
	at   int64 // in the content
	sum  hash.Hash
	bad  *extent // the first that is not what its digest says
}

func newSums(at []extent) *sums {
	s := &sums{left: at, sum: sha256.New()}
	s.turn()
	return s
}

// write takes the content that follows.
func (s *sums) write(b []byte) {
	for len(b) > 0 && len(s.left) > 0 {
		n := min(int64(len(b)), s.left[0].offset+s.left[0].size-s.at)
		s.sum.Write(b[:n])
		b, s.at = b[n:], s.at+n
		s.turn()
	}
}

// turn ends files that are complete.
func (s *sums) turn() {
	for len(s.left) > 0 && s.left[0].offset+s.left[0].size == s.at {
		if s.bad == nil && !bytes.Equal(s.sum.Sum(nil), s.left[0].digest) {
			s.bad = &s.left[0]
		}
		s.left = s.left[1:]
		s.sum.Reset()
	}
}
