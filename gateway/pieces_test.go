package gateway

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestPieces: what is put in, in whatever parts, comes out.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := bytes.Repeat([]byte("0123456789"), rapid.IntRange(0, pieceSize/3).Draw(t, "tens"))
		p := pieces{first: make([]byte, rapid.IntRange(0, 20_000).Draw(t, "first"))}
		lent := 0
		for rest := want; len(rest) > 0; {
			to := p.room()
			if to == nil {
				to = p.grow()
				lent++
			}
			n := min(len(rest), len(to), rapid.IntRange(1, pieceSize).Draw(t, "part"))
			copy(to, rest[:n])
			p.length += n
			rest = rest[n:]
		}
		got := p.join()
		p.drop()
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes became %d others", len(want), len(got))
		}
		if most := (max(0, len(want)-len(p.first)) + pieceSize - 1) / pieceSize; lent > most {
			t.Fatalf("%d pieces for %d bytes", lent, len(want))
		}
	})
}
