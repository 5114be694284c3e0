package answers

import "math/bits"

// A sketch estimates how often keys were asked for of late: a count-min sketch of four
// rows of counters of four bits, all of which are halved now and then.
type sketch struct {
	words [rows][]uint64
	mask  uint64
	added int
}

const (
	rows       = 4
	perWord    = 16
	most       = 15
	leastWidth = 256
	mostWidth  = 1 << 18
	perCounter = 4 << 10 // bytes of answers
	lowBits    = 0x7777777777777777
)

// widthFor is how many counters a row has for so many bytes of answers.
func widthFor(limit int) int {
	n := min(max(limit/perCounter, leastWidth), mostWidth)
	return 1 << bits.Len(uint(n-1))
}

// sketchSize is how many bytes such a sketch takes.
func sketchSize(limit int) int { return widthFor(limit) * rows / 2 }

func newSketch(limit int) *sketch {
	w := widthFor(limit)
	s := &sketch{mask: uint64(w - 1)}
	for i := range s.words {
		s.words[i] = make([]uint64, w/perWord)
	}
	return s
}

// at is the counter of the hash in the row: its word and by how many bits it is shifted.
func (s *sketch) at(row int, hash uint64) (*uint64, uint64) {
	h := (hash + uint64(row)*0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd
	h ^= h >> 33
	n := h & s.mask
	return &s.words[row][n/perWord], n % perWord * 4
}

// add counts the key once.
func (s *sketch) add(hash uint64) {
	for row := range s.words {
		if w, shift := s.at(row, hash); *w>>shift&most < most {
			*w += 1 << shift
		}
	}
	if s.added++; s.added >= 10*int(s.mask+1) {
		s.halve()
	}
}

// count is how often the key was counted: never less, but for what was halved.
func (s *sketch) count(hash uint64) int {
	n := uint64(most)
	for row := range s.words {
		w, shift := s.at(row, hash)
		n = min(n, *w>>shift&most)
	}
	return int(n)
}

func (s *sketch) halve() {
	for _, row := range s.words {
		for i := range row {
			row[i] = row[i] >> 1 & lowBits
		}
	}
	s.added /= 2
}
