package batch

import (
	"io"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// answered is one caller's whole answer, as a stream has it.
type answered struct {
	status int
	kind   string
	body   []byte
	at     int
	held   time.Duration
	load   spec.Load
	loaded bool
}

var _ interface {
	spec.Stream
	spec.Timed
} = (*answered)(nil)

func (a *answered) Status() int             { return a.status }
func (a *answered) ContentType() string     { return a.kind }
func (a *answered) Load() (spec.Load, bool) { return a.load, a.loaded }
func (a *answered) Close() error            { return nil }

// Held implements spec.Timed.
func (a *answered) Held() (time.Duration, bool) { return a.held, true }

func (a *answered) Read(p []byte) (int, error) {
	if a.at == len(a.body) {
		return 0, io.EOF
	}
	n := copy(p, a.body[a.at:])
	a.at += n
	return n, nil
}
