package actors

import (
	"context"
	"encoding/binary"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/answers"
	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
)

// said is an engine's whole answer.
type said struct{ strings.Reader }

func (*said) Close() error            { return nil }
func (*said) Status() int             { return 200 }
func (*said) ContentType() string     { return "application/json" }
func (*said) Load() (spec.Load, bool) { return spec.Load{}, false }

func BenchmarkPool(b *testing.B) {
	o, pid := benchDevice(b)
	o.s.lanes = gpu.Lanes{}
	c := call("/x", false)
	pooltest.Compare(b, "admissions", func(pb *testing.PB) {
		for pb.Next() {
			admitOnce(b, o, pid, &c)
		}
	})
	cache := answers.New(answers.Config{Bytes: 1 << 20})
	defer cache.Close()
	var n atomic.Uint64
	pooltest.Compare(b, "kept-answers", func(pb *testing.PB) {
		for pb.Next() {
			ask := answers.Request{Key: answers.Key{Deployment: "d"}, TTL: time.Hour, MaxBytes: 1 << 20, Fresh: true}
			binary.BigEndian.PutUint64(ask.Key.Sum[:], n.Add(1))
			f := cache.Ask(&ask)
			o.s.fly(context.Background(), f.Flight, func(context.Context, spec.Target, *spec.Call, []byte) (spec.Stream, error) {
				s := &said{}
				s.Reset(firstAnswer)
				return s, nil
			}, spec.Target{}, c, nil)
			_ = f.Reader.Close()
		}
	})
}
