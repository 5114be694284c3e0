package infer

import (
	"net/http"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// hdrHeld tells for how long a slot was held for the call, in microseconds, where that
// is not for as long as its answer takes. An older gateway counts the whole time.
const hdrHeld = "Lotabots-Held-Us"

// maxHeld bounds what is believed.
const maxHeld = 24 * time.Hour

func setHeld(h http.Header, s spec.Stream) {
	t, ok := s.(spec.Timed)
	if !ok {
		return
	}
	if held, told := t.Held(); told {
		h.Set(hdrHeld, strconv.FormatInt(held.Microseconds(), 10))
	}
}

var _ spec.Timed = (*stream)(nil)

// Held implements spec.Timed.
func (s *stream) Held() (time.Duration, bool) {
	us, err := strconv.ParseInt(s.resp.Header.Get(hdrHeld), 10, 64)
	if err != nil || us < 0 || us > maxHeld.Microseconds() {
		return 0, false
	}
	return time.Duration(us) * time.Microsecond, true
}

// hdrHides tells, by "1", that what was cached is hidden. An older gateway takes it for nothing.
const hdrHides = "Lotabots-Hides"

func setHides(h http.Header, s spec.Stream) {
	if t, ok := s.(spec.Hiding); ok && t.Hides() {
		h.Set(hdrHides, "1")
	}
}

var _ spec.Hiding = (*stream)(nil)

// Hides implements spec.Hiding.
func (s *stream) Hides() bool { return s.resp.Header.Get(hdrHides) == "1" }
