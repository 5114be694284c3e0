package answers

import (
	"bytes"
	"net/http"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A kept is a spec.Stream that gives a kept answer, all at once.
type kept struct {
	bytes.Reader
	of  *Answer
	age time.Duration
}

var _ spec.Cached = (*kept)(nil)

// Replay is the answer as a stream, to be read once.
func (f *Found) Replay() spec.Stream {
	k := &kept{of: f.Answer, age: f.Age}
	k.Reset(f.Answer.Body)
	return k
}

// Status implements spec.Stream.
func (k *kept) Status() int { return http.StatusOK }

// ContentType implements spec.Stream.
func (k *kept) ContentType() string { return k.of.ContentType }

// Load is not known: no engine was asked.
func (k *kept) Load() (spec.Load, bool) { return spec.Load{}, false }

// Close implements io.Closer.
func (k *kept) Close() error { return nil }

// Cached implements spec.Cached.
func (k *kept) Cached() (spec.CacheResult, time.Duration) { return spec.CacheHit, k.age }
