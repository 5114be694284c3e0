package relay

// maxPlace bounds what an engine can have the gateway remember of its choices: those
// behind it count as one.
const maxPlace = 1 << 16

// places are indices of choices, each counted once.
type places struct {
	n     int
	first uint64
	more  []uint64 // from 64 on
}

func (p *places) add(at int) {
	at = min(at, maxPlace)
	word := &p.first
	if at >= 64 {
		for len(p.more) < at/64 {
			p.more = append(p.more, 0)
		}
		word = &p.more[at/64-1]
	}
	if bit := uint64(1) << (at % 64); *word&bit == 0 {
		*word |= bit
		p.n++
	}
}
