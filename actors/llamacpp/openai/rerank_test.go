package openai

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestRerankIsRead(t *testing.T) {
	r, err := ParseRerank([]byte(`{"model":"m","query":"q","documents":["a",{"text":"b"},""],"top_n":2,"return_documents":true}`))
	want := &Rerank{Model: "m", Query: "q", Documents: []string{"a", "b", ""}, TopN: 2, Return: true}
	if err != nil || !reflect.DeepEqual(r, want) {
		t.Fatalf("%+v, %v", r, err)
	}
	var got struct {
		Results []struct {
			Index    int
			Score    float64 `json:"relevance_score"`
			Document struct{ Text string }
		}
	}
	if err := json.Unmarshal(RerankAnswer(r, "m", []float64{0.1, 0.5, 0.5}, 7), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Results) != 2 || got.Results[0].Index != 1 || got.Results[1].Index != 2 || got.Results[0].Document.Text != "b" {
		t.Errorf("%+v", got)
	}
	for _, body := range []string{`{}`, `{"query":"q"}`, `{"query":"q","documents":[]}`, `{"query":"q","documents":[null]}`, `{"query":"q","documents":[{}]}`, `{"query":"","documents":["a"]}`, `{"query":"q","documents":["a"],"top_n":0}`} {
		if r, err := ParseRerank([]byte(body)); err == nil {
			t.Errorf("%s was taken: %+v", body, r)
		}
	}
}

func TestRanksTogetherAreRead(t *testing.T) {
	one, together, err := ParseReranks([]byte(`{"query":"q","documents":["a"]}`))
	if err != nil || together || len(one) != 1 || one[0].Query != "q" {
		t.Errorf("%+v, %v, %v", one, together, err)
	}
	two, together, err := ParseReranks([]byte(`{"together":[{"query":"q","documents":["a"]},{"query":"r","documents":["b","c"],"top_n":1}]}`))
	if err != nil || !together || len(two) != 2 || two[1].Query != "r" || two[1].TopN != 1 {
		t.Errorf("%+v, %v, %v", two, together, err)
	}
	many := `{"query":"q","documents":["a"` + strings.Repeat(`,"a"`, MaxDocuments-1) + `]}`
	for _, body := range []string{`{"together":[]}`, `{"together":[{}]}`, `{"together":[5]}`, `{"together":5}`, `{"together":[` + many + `,{"query":"q","documents":["a"]}]}`} {
		if all, _, err := ParseReranks([]byte(body)); err == nil {
			t.Errorf("%.100s was taken: %+v", body, all)
		}
	}
}

func FuzzRerank(f *testing.F) {
	f.Add([]byte(`{"query":"q","documents":["a",{"text":"b"}],"top_n":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRerank(body)
		if err != nil {
			mustExplain(t, err)
			return
		}
		if r.Query == "" || len(r.Documents) == 0 || r.TopN < 1 || r.TopN > len(r.Documents) || strings.ContainsRune(r.Query, 0) {
			t.Errorf("%s gave %+v", body, r)
		}
		if !json.Valid(RerankAnswer(r, "m", make([]float64, len(r.Documents)), 1)) {
			t.Errorf("%s: the answer is no JSON", body)
		}
	})
}
