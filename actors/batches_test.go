package actors

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// embeddings answers as engines do, with the length of each input for its vector, and
// counts its calls.
func (s *stub) embeddings(calls *atomic.Int64, pause time.Duration) {
	s.Config.Handler.(*http.ServeMux).HandleFunc("POST /v1/embeddings", func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		time.Sleep(pause)
		var asked struct{ Input any }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		list, several := asked.Input.([]any)
		if !several {
			list = []any{asked.Input}
		}
		w.Header().Set("Content-Type", "application/json")
		rows, tokens := []map[string]any{}, 0
		for i, in := range list {
			text := fmt.Sprint(in)
			if text == "bad" {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error":{"message":"one input is bad"}}`)
				return
			}
			rows, tokens = append(rows, map[string]any{"index": i, "embedding": []int{len(text)}}), tokens+len(text)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": rows, "usage": map[string]int{"prompt_tokens": tokens, "total_tokens": tokens}})
	})
}

// TestEmbeddingsGoTogether: many callers are served by few calls, on one slot that others
// hold at first, and each gets its own.
func TestEmbeddingsGoTogether(t *testing.T) {
	for _, grants := range []bool{false, true} {
		t.Run(fmt.Sprint(grants), func(t *testing.T) {
			e, calls := newStub(t), atomic.Int64{}
			e.embeddings(&calls, 2*time.Millisecond)
			n := newMesh(t).start("a", everything, with(e), func(c *Config) {
				if grants {
					c.Granted = func(spec.Lease) {}
				}
			})
			target := n.loadStub(t, e, "i", 1, 1)
			hold := mustOpen(t, n, target, call("/hold", true))
			var wait sync.WaitGroup
			for i := range 64 {
				wait.Go(func() { embed(t, n, target, i) })
			}
			await(t, "all wait for the slot", func() bool { now, most := n.sharing("i"); return now == 64 && most >= 64 })
			await(t, "the digest tells it", func() bool {
				told := n.told()
				for _, i := range told[len(told)-1].Devices[0].Instances {
					return i.Sharing == 64 && i.Shares >= 64 && i.Running == 1
				}
				return false
			})
			_ = hold.Close()
			wait.Wait()
			if got := calls.Load(); got > 20 { // 32 of them were in the first, and the bad one was found in 6
				t.Errorf("%d calls", got)
			}
			if now, _ := n.sharing("i"); now != 0 || n.Running() != 0 {
				t.Errorf("%d callers, %d running are left", now, n.Running())
			}
		})
	}
}

// embed asks for one text and looks at what comes; that of number 13 is bad.
func embed(t *testing.T, n *testNode, target spec.Target, i int) {
	text := fmt.Sprintf("%0*d", i+1, 1)
	if i == 13 {
		text = "bad"
	}
	s, err := n.Opener().Open(t.Context(), target, call("/v1/embeddings", false), fmt.Appendf(nil, `{"model":"d","input":%q}`, text))
	if err != nil {
		t.Errorf("request %d: %v", i, err)
		return
	}
	defer s.Close()
	raw, err := io.ReadAll(s)
	if i == 13 {
		if err != nil || s.Status() != 400 || string(raw) != `{"error":{"message":"one input is bad"}}` {
			t.Errorf("the bad one: %d %s, %v", s.Status(), raw, err)
		}
		return
	}
	var a struct {
		Data  []struct{ Embedding []int }
		Usage map[string]int
	}
	if err != nil || json.Unmarshal(raw, &a) != nil || len(a.Data) != 1 || a.Data[0].Embedding[0] != i+1 || a.Usage["prompt_tokens"] < 1 {
		t.Errorf("request %d: %s, %v", i, raw, err)
	}
	if _, told := s.(spec.Timed).Held(); !told {
		t.Error("the slot's time is not told")
	}
}
