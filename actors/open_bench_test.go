package actors

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	devices "github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/egress"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/leash"
	"github.com/lotabots/lotabots/cluster/wire"
)

// BenchmarkOpen is a request from the relay's Open to the end of its answer: admission, the engine's driver, the
// connection. The engine is a loop over a connection that answers at once, so that what is measured is ours.
func BenchmarkOpen(b *testing.B) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 26 Nov 2026 07:00:00 GMT\r\nContent-Length: 300\r\n\r\n"
	body := []byte(strings.Repeat(`{"a":1}`, 60))
	whole := answer + strings.Repeat("x", 220) + `"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17 }           `
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echoAnswers(c, whole)
		}
	}()
	url := "http://" + l.Addr().String()
	log := slog.New(slog.DiscardHandler)
	s := &System{cfg: Config{Node: "a", Log: log, Revoked: func(string) bool { return false }}, metrics: newMetrics(nil)}
	s.system = newActorSystem(log)
	s.pids = map[spec.DeviceID]*actor.PID{}
	s.crier = &crier{}
	presets := engine.New(engine.Config{ExternalURLs: []string{url}, Egress: egress.Policy{}})
	c := gpu.Config{Node: "a", Device: devices.Device{ID: "gpu/1"}, Engines: presets, Path: noFile, Seq: new(atomic.Uint64), Log: log, Metrics: gpu.NewMetrics(nil), Lanes: &s.lanes, Publish: func(*wire.DeviceLoad) {}}
	pid, err := s.system.Root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return gpu.New(c) }), "gpu/1")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = stopActor(context.Background(), s.system, pid) })
	s.pids["gpu/1"] = pid
	if _, err := s.ask(context.Background(), "a", pid, &wire.LoadModel{Instance: "i", Deployment: "d", Version: 3, Engine: "external", Options: map[string]string{"url": url}, Slots: 1 << 20}); err != nil {
		b.Fatal(err)
	}
	o := opener{s}
	s.open = s.through(o)
	for s.lanes.Of("i") == nil {
		time.Sleep(time.Millisecond)
	}
	to, in := spec.Target{Device: "gpu/1", Instance: "i"}, make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		var held leash.Leash
		held.Begin(context.Background(), time.Time{})
		call := call("/v1/chat/completions", false)
		call.Deadline = time.Now().Add(time.Minute)
		x, err := o.Open(&held, to, call, body)
		if err != nil {
			b.Fatal(err)
		}
		if x.Status() != http.StatusOK {
			b.Fatal(x.Status())
		}
		for err == nil {
			_, err = x.Read(in)
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		_ = x.Close()
	}
}

// echoAnswers writes the answer for each request, which comes at once, until c is closed.
func echoAnswers(c net.Conn, answer string) {
	in := make([]byte, 64<<10)
	for {
		n, err := c.Read(in)
		if err != nil {
			_ = c.Close()
			return
		}
		if strings.HasPrefix(string(in[:n]), "GET") {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			continue
		}
		_, _ = io.WriteString(c, answer)
	}
}
