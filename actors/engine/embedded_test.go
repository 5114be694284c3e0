package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
)

// The whole life of an embedded engine, with a socket's path that fits and one that does not.
func TestEmbedded(t *testing.T) {
	for name, deep := range map[string]bool{"short path": false, "deep path": true} {
		t.Run(name, func(t *testing.T) {
			p := presets(t, deep, 0)
			s := demoSpec(2)
			s.Options = map[string]string{"threads": "1", "embeddings": "off"}
			e := start(t, p, s)
			if e.Slots() != 2 || e.Context() != 1024 {
				t.Errorf("%d slots of %d tokens; the model was trained on 1024", e.Slots(), e.Context())
			}
			if err := e.Healthy(t.Context()); err != nil {
				t.Error(err)
			}
			rest, err := io.ReadAll(stream(t.Context(), t, e, 40))
			if err != nil || !bytes.HasSuffix(rest, []byte("data: [DONE]\n\n")) || !bytes.Contains(rest, []byte(`"model":"lota"`)) {
				t.Errorf("%v, ...%q", err, rest[max(0, len(rest)-300):])
			}
			until(t, 30*time.Second, "the load tells that it is over", func() bool {
				l, err := e.Load(t.Context())
				return err == nil && l.Known && l.Running == 0 && l.DecodeTPS > 0
			})
			if r, err := e.Do(t.Context(), "/v1/embeddings", Head{}, []byte(`{"input":"a"}`)); err != nil || r.StatusCode != http.StatusBadRequest {
				t.Errorf("embeddings are off, and yet: %v, %v", r, err)
			} else {
				r.Body.Close()
			}
			if closed(e.Done()) || e.Err() != nil {
				t.Error("it has ended too early")
			}
			begin := time.Now()
			stop(t, e)
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("an idle engine took %s to stop", took)
			}
			if !closed(e.Done()) || e.Err() != nil {
				t.Errorf("after Stop: %v", e.Err())
			}
			gone(t, p, e)
			if _, err := e.Do(t.Context(), "/v1/chat/completions", Head{}, []byte(`{}`)); spec.CodeOf(err) != spec.CodeUpstream {
				t.Errorf("a stopped engine answers %v", err)
			}
		})
	}
}

// Both ways to break off give the slot back.
func TestCancelFreesTheSlot(t *testing.T) {
	e := start(t, presets(t, false, 0), demoSpec(1))
	idle := func() bool {
		l, err := e.Load(t.Context())
		return err == nil && l.Running == 0 && l.Queued == 0
	}
	for name, end := range map[string]func(context.CancelFunc, io.Closer){
		"cancel": func(cancel context.CancelFunc, _ io.Closer) { cancel() },
		"close":  func(_ context.CancelFunc, body io.Closer) { body.Close() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		body := busy(ctx, t, e)
		begin := time.Now()
		end(cancel, body)
		until(t, 30*time.Second, name+" frees the slot", idle)
		t.Logf("%s: free after %s", name, time.Since(begin))
	}
	rest, err := io.ReadAll(stream(t.Context(), t, e, 5))
	if err != nil || !bytes.Contains(rest, []byte("[DONE]")) {
		t.Errorf("the next request: %v, %q", err, rest)
	}
}

func TestKillIsNoticed(t *testing.T) {
	p := presets(t, false, 0)
	e := start(t, p, demoSpec(1))
	body := busy(t.Context(), t, e)
	if err := syscall.Kill(e.mu.process.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(body); err == nil {
		t.Errorf("the stream ended as if it were whole: ...%q", rest[max(0, len(rest)-80):])
	}
	select {
	case <-e.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the end is not told")
	}
	if err := e.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("it was killed, and says %v", err)
	}
	if err := e.Healthy(t.Context()); spec.CodeOf(err) != spec.CodeUpstream {
		t.Errorf("a dead engine's health: %v", err)
	}
	stop(t, e)
	gone(t, p, e)
}

// A stream that would take longer than the grace is cut; one that fits is finished.
func TestStopHasAGrace(t *testing.T) {
	e := start(t, presets(t, false, time.Minute), demoSpec(1))
	body := stream(t.Context(), t, e, 60)
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop(t, e) }()
	if rest, err := io.ReadAll(body); err != nil || !bytes.HasSuffix(rest, []byte("data: [DONE]\n\n")) {
		t.Errorf("a short stream was cut: %v, ...%q", err, rest[max(0, len(rest)-80):])
	}
	<-stopped

	p := presets(t, false, time.Hour)
	hasty := start(t, p, demoSpec(1))
	_ = busy(t.Context(), t, hasty)
	if err := syscall.Kill(hasty.mu.process.pid, syscall.SIGSTOP); err != nil { // it cannot finish
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := hasty.Stop(ctx); err != nil || time.Since(begin) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
	gone(t, p, hasty)
}

func TestDamagedModel(t *testing.T) {
	p := presets(t, false, 0)
	s := demoSpec(1)
	s.Model = filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(s.Model, []byte("GGUF, it says"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := p.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	err = e.Start(t.Context())
	if spec.CodeOf(err) != spec.CodeEngineUnavailable || !strings.Contains(err.Error(), "file is damaged") || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "lotabots-engine: ") {
		t.Errorf("%v", err)
	}
	if !closed(e.Done()) {
		t.Error("Done is open")
	}
	gone(t, p, e.(*local))
}

func TestEmbeddedIsUnavailable(t *testing.T) {
	empty := t.TempDir()
	t.Setenv("PATH", empty)
	for name, c := range map[string]struct {
		config Config
		want   string // in the message or the hint
	}{
		"no helper":       {Config{}, "engines.helper"},
		"no such helper":  {Config{Helper: filepath.Join(empty, "x")}, "engines.helper"},
		"helper no file":  {Config{Helper: empty}, "no executable file"},
		"empty libraries": {Config{Helper: os.Args[0], Libraries: empty}, "libllama.so"},
	} {
		p := New(c.config)
		err := p.Check(demoSpec(1))
		var known *spec.Error
		if !errors.As(err, &known) || known.Code != spec.CodeEngineUnavailable || known.Hint == "" || !strings.Contains(known.Message+known.Hint, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if e, err := p.Open(demoSpec(1)); err == nil {
			t.Errorf("%s: opened %v", name, e)
		}
	}
}

// What spreads over several GPUs sees them all, and is told of them by number.
func TestEmbeddedOnSeveralGPUs(t *testing.T) {
	for want, s := range map[string]Spec{"cpu": {Device: device.Device{Kind: device.KindSimulated}}, "0": {Device: gpuA}, "0,1": {Device: gpuA, Others: []device.Device{gpuB}}} {
		dir := t.TempDir()
		here, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = here.Close() })
		c, _, err := (&embedded{spec: s}).launch(&room{dir: dir, here: here})
		if err != nil || flag(c.args, "--device") != want {
			t.Errorf("%q, %v, want %s", c.args, err, want)
		}
		if want == "0,1" && !slices.Contains(c.env, "CUDA_VISIBLE_DEVICES=GPU-a,GPU-b") {
			t.Errorf("it sees %q", c.env)
		}
	}
}
