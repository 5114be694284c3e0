package llamacpp

import (
	"encoding/json"
	"math"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/llamacpp/tuning"
)

type ranked struct {
	Results []struct {
		Index    int
		Score    float64 `json:"relevance_score"`
		Document *struct{ Text string }
	}
	Usage map[string]int
	Error *struct{ Code, Message string }
}

func rerankOf(t *testing.T, url string, body fields) (int, ranked) {
	t.Helper()
	r, err := post(t.Context(), url, "/v1/rerank", body)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var out ranked
	if err := json.NewDecoder(r.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, out
}

func openModelFile(t *testing.T, c Config) string {
	t.Helper()
	c.Libraries = libraries(t)
	e, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(nil, nil)
	server.Serve(e)
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		web.Close()
		e.Close()
	})
	return web.URL
}

// The weights are random, so the order means nothing; but it must be the same for each document alone.
func TestRerank(t *testing.T) {
	url := openModelFile(t, Config{Model: bert(t, true)})
	documents := []string{"abc", "xyz q", "", "hello world"}
	status, all := rerankOf(t, url, fields{"query": "abc", "documents": documents, "return_documents": true})
	if status != 200 || len(all.Results) != 4 || all.Usage["prompt_tokens"] < 10 {
		t.Fatalf("%d %+v", status, all)
	}
	for i, r := range all.Results {
		_, alone := rerankOf(t, url, fields{"query": "abc", "documents": documents[r.Index : r.Index+1]})
		if len(alone.Results) != 1 || math.Abs(alone.Results[0].Score-r.Score) > 1e-4 || r.Score <= 0 || r.Score >= 1 {
			t.Errorf("document %d: %+v, alone %+v", r.Index, r, alone)
		}
		if i > 0 && r.Score > all.Results[i-1].Score || r.Document == nil || r.Document.Text != documents[r.Index] {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	if all.Results[0].Score == all.Results[3].Score {
		t.Error("all scores are the same")
	}
	if _, one := rerankOf(t, url, fields{"query": "abc", "documents": documents, "top_n": 1}); len(one.Results) != 1 || one.Results[0].Index != all.Results[0].Index {
		t.Errorf("the best is %+v", one)
	}
	rankTogether(t, url, documents)
	if status, r := ask(t, url, "/v1/embeddings", fields{"input": "abc"}); status != 400 || r.Error == nil || r.Error.Code != "unsupported_parameter" {
		t.Errorf("embeddings of a reranker: %d %+v", status, r.Error)
	}
	if status, r := ask(t, url, "/v1/chat/completions", question("x", nil)); status != 400 || r.Error == nil {
		t.Errorf("text of a reranker: %d %+v", status, r.Error)
	}
}

// rankTogether asks for several queries in one call: each has the answer that it has alone.
func rankTogether(t *testing.T, url string, documents []string) {
	t.Helper()
	requests := []fields{{"query": "abc", "documents": documents, "top_n": 2}, {"query": "q", "documents": documents[1:], "return_documents": true}, {"query": "hello", "documents": documents[:1]}}
	r, err := post(t.Context(), url, "/v1/rerank", fields{"together": requests})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var out struct{ Together []ranked }
	if err := json.NewDecoder(r.Body).Decode(&out); err != nil || r.StatusCode != 200 || len(out.Together) != len(requests) {
		t.Fatalf("%d %+v, %v", r.StatusCode, out, err)
	}
	for i, got := range out.Together {
		_, alone := rerankOf(t, url, requests[i])
		if len(got.Results) != len(alone.Results) || got.Usage["prompt_tokens"] != alone.Usage["prompt_tokens"] {
			t.Fatalf("request %d: %+v, alone %+v", i, got, alone)
		}
		for j := range got.Results {
			if a, b := got.Results[j], alone.Results[j]; a.Index != b.Index || math.Abs(a.Score-b.Score) > 1e-4 || (a.Document == nil) != (b.Document == nil) {
				t.Errorf("request %d: %+v, alone %+v", i, a, b)
			}
		}
	}
	if status, r := rerankOf(t, url, fields{"together": []fields{requests[0], {"query": "", "documents": documents}}}); status != 400 || r.Error == nil {
		t.Errorf("with a bad one: %d %+v", status, r)
	}
}

func TestPooling(t *testing.T) {
	model, vectors := bert(t, false), map[string][]float32{}
	for _, p := range []string{"", "cls", "mean", "last"} {
		_, r := ask(t, openModelFile(t, Config{Model: model, Pooling: p}), "/v1/embeddings", fields{"input": "abc xyz"})
		if len(r.Data) != 1 {
			t.Fatalf("%q: %+v", p, r)
		}
		vectors[p] = vector(t, r.Data[0].Embedding)
	}
	if same := dot(vectors[""], vectors["cls"]); same < 0.9999 {
		t.Errorf("the file's own pooling is cls, the vectors have cosine %f", same)
	}
	if dot(vectors["cls"], vectors["mean"]) > 0.999 || dot(vectors["last"], vectors["mean"]) > 0.999 {
		t.Error("the option changed nothing")
	}
	if _, err := Open(Config{Libraries: libraries(t), Model: model, Pooling: "max"}); err == nil {
		t.Error("an unknown pooling was taken")
	}
}

func TestRerankNeedsAReranker(t *testing.T) {
	_, web := open(t, Config{Slots: 1, Context: 256})
	if status, r := rerankOf(t, web.URL, fields{"query": "a", "documents": []string{"b"}}); status != 400 || r.Error == nil || r.Error.Code != "unsupported_parameter" {
		t.Errorf("%d %+v", status, r.Error)
	}
}

// An encoder reads whole texts only, and can be measured by that.
func TestEncodersAreMeasured(t *testing.T) {
	var results []tuning.Result
	c := Config{Libraries: libraries(t), Model: bert(t, false)}
	err := Measure(c, 20*time.Millisecond, func(r tuning.Result) error {
		results = append(results, r)
		return nil
	})
	if err != nil || len(results) == 0 || results[0].Prefill <= 0 || results[0].Decode <= 0 {
		t.Errorf("%+v, %v", results, err)
	}
}
