package gateway

import "github.com/lotabots/lotabots/cluster/spec/pool"

// pieceSize is that of the pieces in which a large body is gathered.
const pieceSize = 128 << 10

// A piece is used again and again: a body that is refused, or comes too slowly, leaves
// nothing behind for the collector.
type piece [pieceSize]byte

var freePieces = pool.New("body-pieces", func() *piece { return new(piece) })

// pieces gather a body of unknown length: a first part of memory of its own, which is
// all that a small body takes, and pieces that are lent.
type pieces struct {
	first  []byte
	lent   []*piece
	length int
}

// room is where the next bytes go; nil: there is none left.
func (p *pieces) room() []byte {
	if p.length < len(p.first) {
		return p.first[p.length:]
	}
	used := p.length - len(p.first) - (len(p.lent)-1)*pieceSize
	if len(p.lent) > 0 && used < pieceSize {
		return p.lent[len(p.lent)-1][used:]
	}
	return nil
}

func (p *pieces) grow() []byte {
	p.lent = append(p.lent, freePieces.Get())
	return p.room()
}

// join returns the whole in memory of its own.
func (p *pieces) join() []byte {
	if p.length <= len(p.first) {
		return p.first[:p.length:p.length]
	}
	out := append(make([]byte, 0, p.length), p.first...)
	for _, one := range p.lent {
		out = append(out, one[:min(pieceSize, p.length-len(out))]...)
	}
	return out
}

// drop gives the pieces away.
func (p *pieces) drop() {
	for _, one := range p.lent {
		freePieces.Put(one)
	}
	p.lent = nil
}
