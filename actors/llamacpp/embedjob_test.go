package llamacpp

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

// Whoever has many texts does not hold up who has one, and a step has no more than fits.
func TestPack(t *testing.T) {
	job := func(lengths ...int) *embedJob {
		j := &embedJob{}
		for _, n := range lengths {
			j.texts = append(j.texts, make([]llama.Token, n))
		}
		return j
	}
	many, one := job(slicesOf(200, 10)...), job(10)
	owners, texts := pack([]*embedJob{many, one}, 2048)
	if len(owners) != embedSequences || owners[0] != many || owners[1] != one || owners[2] != many || len(texts) != len(owners) {
		t.Errorf("%d texts", len(texts))
	}
	long := job(90, 90)
	if owners, _ := pack([]*embedJob{long, one}, 100); len(owners) != 2 || owners[1] != one {
		t.Errorf("%d texts", len(owners))
	}
	long.vectors = make([][]float32, 1)
	if _, texts := pack([]*embedJob{long}, 100); len(texts) != 1 {
		t.Errorf("%d texts", len(texts))
	}
}

func slicesOf(n, value int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = value
	}
	return out
}

// Requests that come together are computed together, and get what they get alone.
func TestRequestsShareSteps(t *testing.T) {
	e, _ := open(t, Config{Slots: 1})
	input := func(i int) *openai.Embedding {
		return &openai.Embedding{Inputs: []openai.Input{{Text: fmt.Sprintf("%d %s", i, strings.Repeat("A B ", i%5))}}}
	}
	alone := make([][]float32, 40)
	for i := range alone {
		vectors, counts, err := e.embed(t.Context(), input(i))
		if err != nil || counts[0] < 1 {
			t.Fatalf("%v: %v", counts, err)
		}
		alone[i] = vectors[0]
	}
	before := e.Load().Totals.Steps
	// The loop is held by a long text while all others come.
	long := &openai.Embedding{Inputs: []openai.Input{{Text: strings.Repeat("A B C D E F G H ", 120)}}}
	var wait sync.WaitGroup
	wait.Go(func() { _, _, _ = e.embed(t.Context(), long) })
	for i := range alone {
		wait.Go(func() {
			vectors, _, err := e.embed(t.Context(), input(i))
			if err != nil || dot(vectors[0], alone[i]) < 0.999 {
				t.Errorf("text %d: cosine %f, %v", i, dot(vectors[0], alone[i]), err)
			}
		})
	}
	wait.Wait()
	t.Logf("%d steps, or signs of life", e.Load().Totals.Steps-before)
}
