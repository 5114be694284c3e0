package llamacpp

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

// A text is read in one step, however long. While it is, the steps count on, so that nobody takes the engine for hung,
// and whoever has gone is not computed for.
func TestALongTextShowsThatItIsRead(t *testing.T) {
	e, _ := open(t, Config{Slots: 1})
	long := &openai.Embedding{Inputs: []openai.Input{{Text: strings.Repeat("A B C D E F G H ", 120)}}}
	before := e.Load().Totals.Steps
	if _, counts, err := e.embed(t.Context(), long); err != nil || len(counts) != 1 || counts[0] < 900 {
		t.Fatalf("%d tokens: %v", counts, err)
	}
	if steps := e.Load().Totals.Steps - before; steps < 3 {
		t.Errorf("%d signs of life", steps)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before = e.Load().Totals.Steps
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for e.Load().Totals.Steps == before && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	j := &embedJob{ctx: ctx, ready: make(chan struct{})}
	for range 50 {
		j.texts = append(j.texts, e.model.tokenize(long.Inputs[0].Text, true, false))
	}
	e.emb.submit <- j
	<-j.ready
	<-gone
	if !errors.Is(j.err, context.Canceled) || len(j.vectors) > 40 {
		t.Errorf("%d vectors for somebody who has gone: %v", len(j.vectors), j.err)
	}
	if _, _, err := e.embed(t.Context(), &openai.Embedding{Inputs: []openai.Input{{Text: "A"}}}); err != nil {
		t.Errorf("the next: %v", err)
	}
}
