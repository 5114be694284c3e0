package actors

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	devices "github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// idle is an engine that is there: admissions are measured, not answers.
type idle struct{ engine.Engine }

func (idle) Start(context.Context) error               { return nil }
func (idle) Done() <-chan struct{}                     { return nil }
func (idle) Healthy(context.Context) error             { return nil }
func (idle) Load(context.Context) (engine.Load, error) { return engine.Load{}, nil }
func (idle) Slots() uint32                             { return 1 << 20 }
func (idle) Context() uint32                           { return 1 }
func (idle) Stop(context.Context) error                { return nil }
func (idle) Check(engine.Spec) error                   { return nil }
func (idle) Open(engine.Spec) (engine.Engine, error)   { return idle{}, nil }

// benchDevice runs a device's actor with one ready instance.
func benchDevice(b *testing.B) (opener, *actor.PID) {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	s := &System{cfg: Config{Node: "a", Log: log}, metrics: newMetrics(nil)}
	s.system = newActorSystem(log)
	ready := make(chan struct{}, 1)
	c := gpu.Config{Node: "a", Device: devices.Device{ID: "gpu/1"}, Engines: idle{}, Path: noFile, Seq: new(atomic.Uint64), Log: log, Metrics: gpu.NewMetrics(nil), Lanes: &s.lanes,
		Publish: func(d *wire.DeviceLoad) {
			if len(d.Instances) == 1 && d.Instances[0].State == isReady {
				select {
				case ready <- struct{}{}:
				default:
				}
			}
		}}
	pid, err := s.system.Root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return gpu.New(c) }), "gpu/1")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.ask(context.Background(), "a", pid, &wire.LoadModel{Instance: "i", Deployment: "d", Version: 3, Engine: "external"}); err != nil {
		b.Fatal(err)
	}
	<-ready
	for s.lanes.Of("i") == nil { // it opens once the digest has been told
		time.Sleep(time.Millisecond)
	}
	b.Cleanup(func() { _ = stopActor(context.Background(), s.system, pid) })
	return opener{s}, pid
}

func admitOnce(b *testing.B, o opener, pid *actor.PID, c *spec.Call) {
	p, _, err := o.admit(context.Background(), pid, spec.Target{Device: "gpu/1", Instance: "i"}, c)
	if err != nil {
		b.Error(err)
		return
	}
	if _, ok := p.lane.Release(&gpu.Release{Lease: p.lease}, time.Now()); ok {
		return
	}
	reply := make(chan spec.Load, 1)
	o.s.system.Root.Send(pid, &gpu.Release{Lease: p.lease, Reply: reply})
	<-reply
}

// BenchmarkAdmitByMessage is BenchmarkAdmit where the actor is asked each time.
func BenchmarkAdmitByMessage(b *testing.B) {
	o, pid := benchDevice(b)
	o.s.lanes = gpu.Lanes{}
	c := call("/x", false)
	b.ReportAllocs()
	for b.Loop() {
		admitOnce(b, o, pid, &c)
	}
}

// BenchmarkAdmit is one admission and its release, each waited for.
func BenchmarkAdmit(b *testing.B) {
	o, pid := benchDevice(b)
	c := call("/x", false)
	b.ReportAllocs()
	for b.Loop() {
		admitOnce(b, o, pid, &c)
	}
}

func BenchmarkAdmitParallel(b *testing.B) {
	o, pid := benchDevice(b)
	c := call("/x", false)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			admitOnce(b, o, pid, &c)
		}
	})
}
