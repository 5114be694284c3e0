package feed

import (
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

// Bounds on the frames that are kept for others who will want them.
const (
	keptFrames     = 1024
	keptFrameBytes = 2 << 20
)

// frames has the frames of the entries that were asked for last, so that each is
// made once, however many followers it goes to.
type frames struct {
	mu struct {
		sync.Mutex
		made  map[*wire.Entry][]byte
		order []*wire.Entry // as they were made
		bytes int
	}
}

// of returns the entry's frame, which nobody may change.
func (f *frames) of(e *wire.Entry) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b, ok := f.mu.made[e]; ok {
		return b, nil
	}
	raw, err := proto.Marshal(e)
	if err != nil {
		return nil, err
	}
	b, err := appendFrame(make([]byte, 0, headSize+len(raw)), kindEntry, raw)
	if err != nil {
		return nil, err
	}
	if f.mu.made == nil {
		f.mu.made = map[*wire.Entry][]byte{}
	}
	f.mu.made[e], f.mu.order, f.mu.bytes = b, append(f.mu.order, e), f.mu.bytes+len(b)
	for len(f.mu.order) > 1 && (len(f.mu.order) > keptFrames || f.mu.bytes > keptFrameBytes) {
		old := f.mu.order[0]
		f.mu.bytes -= len(f.mu.made[old])
		delete(f.mu.made, old)
		f.mu.order[0] = nil
		f.mu.order = f.mu.order[1:]
	}
	return b, nil
}
