package batch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for body, want := range map[string]int{
		`{"input":"a"}`: 1, `{"input":["a","b"],"model":"m"}`: 2, `{"input":[1,2,3]}`: 1, `{"input":[[1,2],[3]]}`: 2, ` { "input" : [ "a" ] } `: 1,
		`{"input":[]}`: 0, `{"input":[["a"]]}`: 1, `{"input":["a",1]}`: 0, `{"input":[1,"a"]}`: 0, `{"input":null}`: 0, `{"messages":[]}`: 0,
		`{"input":"a","Input":"b"}`: 0, `{"input":[{"text":"a"}]}`: 0, `[]`: 0, `{"input":[-1]}`: 0, `{"input":"a"`: 0, `{"input":5}`: 0,
	} {
		r, ok := Parse([]byte(body))
		if ok != (want > 0) || ok && len(r.inputs) != want {
			t.Errorf("%s: %t %+v", body, ok, r)
		}
	}
	a, _ := Parse([]byte(`{"model":"m","input":"a","user":"x"}`))
	b, _ := Parse([]byte(`{ "user":"y","input":["b"],"model": "m" }`))
	if a.parameters != b.parameters {
		t.Errorf("%q and %q", a.parameters, b.parameters)
	}
	if got := string(merge([]*Request{a, b})); got != `{"model":"m","input":["a","b"]}` {
		t.Error(got)
	}
}

func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 1<<30), 1, 70).Draw(t, "weights")
		total := rapid.Int64Range(0, 1<<40).Draw(t, "total")
		sumOf := 0.0
		for _, w := range weights {
			sumOf += float64(max(w, 1))
		}
		for _, shares := range [][]int64{spread(total, weights), divide(total, weights)} {
			if sum(shares) != total {
				t.Fatalf("%v of %d", shares, total)
			}
		}
		for i, n := range spread(total, weights) {
			if exact := float64(total) * float64(max(weights[i], 1)) / sumOf; float64(n) > exact+2 || float64(n) < exact-2 {
				t.Fatalf("%d of %d by %d of %v, exactly %v", n, total, weights[i], sumOf, exact)
			}
		}
		if total >= int64(len(weights)) && slices.Min(divide(total, weights)) < 1 {
			t.Fatal("nothing for one")
		}
	})
}

// TestLane: whatever comes and goes, calls keep to the limits, nobody is lost or served
// twice, and all go in the order in which they came.
func TestLane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &lane{limits: Limits{Inputs: rapid.IntRange(1, 10).Draw(t, "inputs"), Tokens: rapid.IntRange(1, 100).Draw(t, "tokens"), Calls: 1}}
		var want, got []*caller
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				c := &caller{request: &Request{inputs: make([]json.RawMessage, rapid.IntRange(1, 12).Draw(t, "n"))},
					tokens: rapid.IntRange(1, 120).Draw(t, "size"), solo: rapid.IntRange(0, 9).Draw(t, "solo") == 0}
				l.add(c)
				want = append(want, c)
			case 2:
				cut := l.cut()
				inputs, tokens := inputsOf(cut), 0
				for _, c := range cut {
					tokens += c.tokens
					if c.solo && len(cut) > 1 {
						t.Fatal("one that goes alone has company")
					}
				}
				if len(cut) > 1 && (inputs > l.limits.Inputs || tokens > l.limits.Tokens) {
					t.Fatalf("%d inputs, %d tokens in a call", inputs, tokens)
				}
				if rapid.Bool().Draw(t, "busy") {
					l.back(cut)
				} else {
					got = append(got, cut...)
				}
			case 3:
				if len(l.waiting) > 0 {
					c := l.waiting[rapid.IntRange(0, len(l.waiting)-1).Draw(t, "who")]
					c.gone = true
					l.remove(c)
					want = slices.DeleteFunc(want, func(o *caller) bool { return o == c })
				}
			}
		}
		for len(l.waiting) > 0 {
			got = append(got, l.cut()...)
		}
		if !slices.Equal(got, want) || l.inputs != 0 || l.tokens != 0 {
			t.Fatalf("%d came, %d went; %d inputs, %d tokens are left", len(want), len(got), l.inputs, l.tokens)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"model":"m","input":["a","b\"c"],"user":"u"}`))
	f.Add([]byte(`{"input":[[1,2],[3]],"x":{"y":[1]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, ok := Parse(body)
		if !ok {
			return
		}
		again, ok := Parse(merge([]*Request{r, r}))
		if !ok || len(again.inputs) != 2*len(r.inputs) || again.tokens != r.tokens {
			t.Fatalf("%s became %s", body, merge([]*Request{r, r}))
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"object":"list","data":[{"index":1,"embedding":[0.5]},{"index":0,"embedding":"AAAA"}],"model":"m","usage":{"prompt_tokens":9,"total_tokens":9,"input_tokens":[4,5]}}`))
	f.Add([]byte(`{"data":[{"embedding":[]},{"embedding":[1]}],"usage":{"prompt_tokens":5,"completion_tokens":0,"details":null}}`))
	requests := make([]*Request, 2)
	for i := range requests {
		requests[i], _ = Parse(fmt.Appendf(nil, `{"input":"%d"}`, i))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := read(body, 2)
		if err != nil {
			return
		}
		prompt := number(a.usage["prompt_tokens"])
		bodies, counts, err := a.split(requests)
		if err != nil {
			return
		}
		for _, b := range bodies {
			if !json.Valid(b) || bytes.Contains(b, []byte(`"`+TokenCounts+`":[`)) && !bytes.Contains(body, []byte(TokenCounts)) {
				t.Fatalf("%s", b)
			}
		}
		if sum(counts) != prompt {
			t.Fatalf("%v of %d", counts, prompt)
		}
	})
}
