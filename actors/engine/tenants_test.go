package engine

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestTenantsAreCounted: what matters is the first other tenant, for good.
func TestTenantsAreCounted(t *testing.T) {
	var none *Tenants
	none.Serve("a")
	none.Mix()
	if none.Shared() || none.Hides(messagesPath) {
		t.Error("an engine that keeps tenants apart is shared")
	}
	var alone Tenants
	for range 3 {
		if alone.Serve("a"); alone.Shared() {
			t.Fatal("one tenant alone shares it")
		}
	}
	if alone.Hides(messagesPath) {
		t.Error("a tenant that is alone is not served in its API")
	}
	if n := testing.AllocsPerRun(100, func() { alone.Serve("a") }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
	alone.Serve("b")
	alone.Serve("a")
	if !alone.Shared() || !alone.Hides(messagesPath) || alone.Hides("/v1/chat/completions") {
		t.Error("after another tenant came")
	}
	var both Tenants
	var wait sync.WaitGroup
	for _, tenant := range []string{"a", "b"} {
		wait.Go(func() { both.Serve(tenant) })
	}
	if wait.Wait(); !both.Shared() {
		t.Error("two that came at once were one")
	}
}

// TestWhoMixes: engines that take CacheSalt keep tenants apart, others do not.
func TestWhoMixes(t *testing.T) {
	for name, d := range map[string]driver{Embedded: &embedded{}, VLLM: &vllm{}, SGLang: &sglang{}} {
		if MixedBy(&local{driver: d}) != nil {
			t.Errorf("%s mixes tenants", name)
		}
	}
	for name, d := range map[string]driver{LlamaServer: &llamaServer{}, Ollama: &ollama{}, Triton: &triton{}, "own": &named{}} {
		if MixedBy(&local{driver: d}) == nil {
			t.Errorf("%s keeps tenants apart", name)
		}
	}
	if MixedBy(&external{}) == nil {
		t.Error("external keeps tenants apart")
	}
	open := map[string]string{sharePrefixes: "on"}
	for _, preset := range []string{LlamaServer, Ollama, External} {
		o, err := checkOptions(preset, open, 0, 0)
		if err != nil || o[sharePrefixes] != "on" {
			t.Errorf("%s: %v, %v", preset, o, err)
		}
	}
	if MixedBy(&local{driver: &llamaServer{}, spec: Spec{Options: open}}) != nil || MixedBy(&external{options: open}) != nil {
		t.Error("it is hidden from tenants that may know of each other")
	}
}

// TestWhichAnswersTell: what is no JSON is not looked at.
func TestWhichAnswersTell(t *testing.T) {
	for kind, tells := range map[string]bool{"": true, "application/json; charset=utf-8": true, "text/event-stream": true, "text/plain": true,
		"audio/mpeg": false, "image/png": false, "application/octet-stream": false} {
		if got := Tells("/v1/chat/completions", http.Header{"Content-Type": {kind}}); got != tells {
			t.Errorf("%q: %t", kind, got)
		}
	}
	if Tells("/v1/audio/transcriptions", http.Header{}) || Tells("/v2/models/m/infer", http.Header{spec.HeadLengthHeader: {"7"}}) {
		t.Error("sound and tensors are looked at")
	}
}

// TestTenantsAreInherited: the node's next process knows whom alone an engine has served, if the one before could tell.
func TestTenantsAreInherited(t *testing.T) {
	l := linger(t, "")
	l.started(t)
	l.launched(t)
	l.kill()
	boot := uint64(101)
	next := func() (*Presets, *local) {
		boot++
		p := New(Config{RunDir: l.run, LlamaServer: l.path, Shim: testShim, Node: "n1", Boot: boot, Linger: time.Hour, Grace: 50 * time.Millisecond})
		t.Cleanup(p.Close)
		e := again(t, p, true)
		if err := e.Start(within(t)); err != nil {
			t.Fatal(err)
		}
		return p, e
	}
	leave := func(p *Presets, e *local) {
		p.Leave()
		stop(t, e)
	}
	p, e := next()
	if !e.Mixes().Shared() {
		t.Error("nobody knows whom it has served before the node was killed, and it counts as one tenant's")
	}
	e.tenants = Tenants{} // as if it had been started here
	leave(p, e)
	p, e = next()
	if e.Mixes().Shared() {
		t.Error("it has served nobody, and is shared")
	}
	e.Mixes().Serve("a")
	leave(p, e)
	p, e = next()
	if e.Mixes().Serve("a"); e.Mixes().Shared() {
		t.Error("it has served one tenant, and is shared")
	}
	if e.Mixes().Serve("b"); !e.Mixes().Shared() {
		t.Error("the tenant of before is forgotten")
	}
	leave(p, e)
	if _, e = next(); !e.Mixes().Shared() {
		t.Error("that there were two is forgotten")
	}
}
