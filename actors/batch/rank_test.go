package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestParseRank(t *testing.T) {
	for body, want := range map[string]int{
		`{"query":"q","documents":["a","b"],"model":"m"}`: 2, `{"query":"q","documents":[{"text":"a"}],"top_n":1}`: 1, `{"query":"","documents":["a"]}`: 1,
		`{"documents":["a"]}`: 0, `{"query":"q","documents":[]}`: 0, `{"query":5,"documents":["a"]}`: 0, `[]`: 0, `{"query":"q"`: 0,
		`{"together":[{"query":"q","documents":["a"]}]}`: 0, `{"query":"q","documents":["a"],"together":[]}`: 0, `{"query":"q","documents":["a"],"Together":null}`: 0,
	} {
		r, ok := ParseRank([]byte(body))
		if ok != (want > 0) || ok && (len(r.inputs) != want || len(r.weights) != want) {
			t.Errorf("%s: %t %+v", body, ok, r)
		}
	}
	a, _ := ParseRank([]byte(`{"query":"q","documents":["a"],"model":"m"}`))
	b, _ := ParseRank([]byte(`{"query":"r","documents":["b","c"],"top_n":1,"model": "m" }`))
	c, _ := ParseRank([]byte(`{"query":"r","documents":["b"],"model":"n"}`))
	if a.parameters != b.parameters || a.parameters == c.parameters {
		t.Errorf("%q, %q and %q", a.parameters, b.parameters, c.parameters)
	}
	const want = `{"together":[{"query":"q","documents":["a"],"model":"m"},{"query":"r","documents":["b","c"],"top_n":1,"model": "m" }]}`
	if got := string(merge([]*Request{a, b})); got != want || string(merge([]*Request{b})) != string(b.body) {
		t.Error(got)
	}
}

// ranker answers as the embedded engine does, or as one that knows no company: with each
// document's score the length of its query, and refuses queries that say so.
type ranker struct {
	mu    sync.Mutex
	old   bool
	sizes []int
}

func (e *ranker) open(_ context.Context, _ spec.Target, _ *spec.Call, body []byte) (spec.Stream, error) {
	time.Sleep(10 * time.Millisecond)
	var several struct{ Together []json.RawMessage }
	_ = json.Unmarshal(body, &several)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sizes = append(e.sizes, max(len(several.Together), 1))
	refused := &answered{status: 400, kind: "application/json", body: []byte(`{"error":{"message":"no"}}`)}
	if several.Together == nil {
		if one := e.rank(body); one != nil {
			return &answered{status: 200, kind: "application/json", body: one}, nil
		}
		return refused, nil
	}
	var all []json.RawMessage
	for _, raw := range several.Together {
		one := e.rank(raw)
		if one == nil || e.old {
			return refused, nil
		}
		all = append(all, one)
	}
	raw, _ := json.Marshal(map[string]any{"together": all})
	return &answered{status: 200, kind: "application/json", body: raw}, nil
}

func (e *ranker) rank(body []byte) []byte {
	var r struct {
		Query     string
		Documents []string
	}
	if json.Unmarshal(body, &r) != nil || strings.HasPrefix(r.Query, "bad") {
		return nil
	}
	var results []map[string]any
	for i := range r.Documents {
		results = append(results, map[string]any{"index": i, "relevance_score": len(r.Query)})
	}
	raw, _ := json.Marshal(map[string]any{"results": results, "usage": map[string]int{"prompt_tokens": len(r.Query)}})
	return raw
}

// TestRanksGoTogether: each gets its own answer, whatever its query is, and a bad one fails
// alone, also where the engine turns out to take no two.
func TestRanksGoTogether(t *testing.T) {
	for _, old := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e := &ranker{old: old}
			b := New(Config{Open: e.open, Reserve: func(spec.DeviceID, spec.Reservation) {}})
			t.Cleanup(b.Close)
			var wait sync.WaitGroup
			held := make([]time.Duration, 40)
			began := time.Now()
			for i := range held {
				wait.Go(func() {
					query := strings.Repeat("q", i+1)
					if i == 17 {
						query = "bad"
					}
					status, answer, err := ranked(b, fmt.Sprintf(`{"query":%q,"documents":["a","b"],"model":"m"}`, query), &held[i])
					switch want := fmt.Sprintf(`"relevance_score":%d}`, i+1); {
					case i == 17 && (err != nil || status != 400 || answer != `{"error":{"message":"no"}}`):
						t.Errorf("the bad one: %d %s, %v", status, answer, err)
					case i != 17 && (err != nil || status != 200 || strings.Count(answer, want) != 2):
						t.Errorf("request %d: %d %s, %v", i, status, answer, err)
					}
				})
			}
			wait.Wait()
			sum := time.Duration(0)
			for _, h := range held {
				sum += h
			}
			if took := time.Since(began); sum != took {
				t.Errorf("it took %v, and slots were held for %v", took, sum)
			}
			if most := 15; !old && len(e.sizes) > most || old && len(e.sizes) > 100 {
				t.Errorf("calls of %v", e.sizes)
			}
		})
	}
}

func ranked(b *Batcher, body string, held *time.Duration) (status int, answer string, err error) {
	r, ok := ParseRank([]byte(body))
	if !ok {
		return 0, "", errors.New("no request: " + body)
	}
	s, err := b.Serve(context.Background(), where, &spec.Call{Deployment: "d", Path: "/v1/rerank", PromptTokens: 5}, r, usual)
	if err != nil {
		return 0, "", err
	}
	defer s.Close()
	raw, err := io.ReadAll(s)
	*held, _ = s.(spec.Timed).Held()
	return s.Status(), string(raw), err
}

func FuzzRank(f *testing.F) {
	f.Add([]byte(`{"query":"q","documents":["a",{"text":"b"}],"model":"m","top_n":1}`), []byte(`{"together":[{"results":[1],"usage":{"prompt_tokens":3}},{"results":[2]}]}`))
	f.Fuzz(func(t *testing.T, body, answer []byte) {
		r, ok := ParseRank(body)
		if !ok {
			return
		}
		if together := merge([]*Request{r, r}); !json.Valid(together) {
			t.Fatalf("%s became %s", body, together)
		}
		bodies, counts, err := part(answer, []*Request{r, r}, 2*len(r.inputs))
		if err != nil {
			return
		}
		if len(bodies) != 2 || len(counts) != 2 || !json.Valid(bodies[0]) || !json.Valid(bodies[1]) || sum(counts) < 0 {
			t.Fatalf("%s became %s and %v", answer, bodies, counts)
		}
	})
}
