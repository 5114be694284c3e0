package relay

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// A bounded room, which also says what was the most.
type bounded struct {
	most       int64
	held, peak atomic.Int64
}

func (b *bounded) Take(n int) bool {
	if b.held.Add(int64(n)) > b.most {
		b.held.Add(-int64(n))
		return false
	}
	b.peak.Store(max(b.peak.Load(), b.held.Load()))
	return true
}

func (b *bounded) Back(n int) { b.held.Add(-int64(n)) }

// TestGrown: whatever comes is read whole, the memory is counted, and none is held after.
func TestGrown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 1<<20).Draw(t, "most")
		size := rapid.IntRange(0, most+3*minRead).Draw(t, "size")
		room := &bounded{most: int64(rapid.IntRange(0, 3<<20).Draw(t, "room"))}
		text := bytes.Repeat([]byte("x"), size)
		h := &held{room: room}
		err := h.gather(iotest.HalfReader(bytes.NewReader(text)), most)
		switch {
		case err == nil:
			if got, _ := io.ReadAll(h); size > most || !bytes.Equal(got, text) || size > freeAnswer && int(room.held.Load()) < size {
				t.Fatalf("%d of %d bytes, %d are counted", len(got), size, room.held.Load())
			}
		case errors.Is(err, errTooLong):
			if size <= most {
				t.Fatal(err)
			}
		case errors.Is(err, errNoRoom):
			if int64(2*(size+minRead)) < room.most {
				t.Fatalf("%v: %d bytes, room for %d", err, size, room.most)
			}
		default:
			t.Fatal(err)
		}
		h.drop()
		_ = h.Close()
		if held := room.held.Load(); held != 0 {
			t.Fatalf("%d bytes are still counted", held)
		}
	})
}

// TestAnswersTakeRoom: whole, hedged and streamed ones; one that there is no room for is
// refused without another instance being asked.
func TestAnswersTakeRoom(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	for name, c := range map[string]struct {
		stream, hedge bool
		play          play
	}{
		"whole":  {play: says(200, `{"x":"`+long+`"}`)},
		"hedged": {play: says(200, `{"x":"`+long+`"}`), hedge: true},
		"stream": {play: streams(piece(long), "data: [DONE]\n\n"), stream: true},
	} {
		for most, fits := range map[int64]bool{50 << 10: false, 1 << 20: true} {
			b := newBench(t, "a b")
			room := &bounded{most: most}
			b.prepare = func(x *Exchange) { x.Room, x.Hedge = room, c.hedge }
			b.plays("a", c.play)
			b.plays("b", c.play)
			res, body := b.get(c.stream)
			if ok := res.StatusCode == 200 && strings.Contains(body, long); ok != fits {
				t.Errorf("%s, room for %d: %d %.200s", name, most, res.StatusCode, body)
			}
			if !fits && (!strings.Contains(body, "no_capacity") || b.tried() != "a") {
				t.Errorf("%s: %q were asked, %.200s", name, b.tried(), body)
			}
			eventually(t, "nothing is held", func() bool { return room.held.Load() == 0 })
			if fits && room.peak.Load() < int64(len(long)) {
				t.Errorf("%s: %d bytes were counted at most", name, room.peak.Load())
			}
		}
	}
}
