package llamacpp

import (
	"context"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/cluster/spec"
)

// An embedJob is one request's texts. The loop writes vectors and err, then closes ready.
type embedJob struct {
	ctx     context.Context
	texts   [][]llama.Token
	vectors [][]float32 // of the first ones
	err     error
	ready   chan struct{}
}

var errStopping error = spec.Errorf(spec.CodeDraining, "the engine is stopping")

func (j *embedJob) end(err error) {
	j.err = err
	close(j.ready)
}

func allGone(jobs []*embedJob) bool {
	for _, j := range jobs {
		if j.ctx.Err() == nil {
			return false
		}
	}
	return true
}

// gather adds the jobs that wait, for one of which it waits where there are none. false:
// the engine stops.
func (e *embedder) gather(jobs *[]*embedJob) bool {
	if len(*jobs) == 0 {
		select {
		case j := <-e.submit:
			*jobs = append(*jobs, j)
		case <-e.quit.Done():
			return false
		}
	}
	for e.quit.Err() == nil {
		select {
		case j := <-e.submit:
			*jobs = append(*jobs, j)
		default:
			return true
		}
	}
	return false
}

// advance computes one step, for several jobs together, and returns those that are not done.
func (e *embedder) advance(jobs []*embedJob) (rest []*embedJob) {
	here := jobs[:0]
	for _, j := range jobs {
		if err := j.ctx.Err(); err != nil {
			j.end(err)
		} else if len(j.texts) == 0 {
			j.end(nil)
		} else {
			here = append(here, j)
		}
	}
	if len(here) == 0 {
		return nil
	}
	owners, texts := pack(here, e.together)
	e.serving.Store(&owners)
	vectors, err := e.step(texts)
	e.serving.Store(nil)
	for i, j := range owners {
		if err == nil {
			j.vectors = append(j.vectors, vectors[i])
		} else if j.err = err; j.ctx.Err() != nil {
			j.err = j.ctx.Err()
		}
	}
	for _, j := range here {
		if j.err != nil || len(j.vectors) == len(j.texts) {
			j.end(j.err)
		} else {
			rest = append(rest, j)
		}
	}
	return rest
}

// pack chooses the texts of a step, and tells whose each is: of each job in turn the next
// one, as long as they have so many tokens together, so that one with many does not hold
// up others. A text that does not fit waits, and so do those behind it; the first always fits.
//
// Every text's tokens are held against those of all others too, and masked: what that
// costs grows with a step's tokens, what is saved per token does not. At as many tokens as
// the vectors are long it is a sixth of the rest.
func pack(jobs []*embedJob, together int) (owners []*embedJob, texts [][]llama.Token) {
	next := make([]int, len(jobs))
	for i, j := range jobs {
		next[i] = len(j.vectors)
	}
	for tokens, some := 0, true; some; {
		some = false
		for i, j := range jobs {
			if next[i] == len(j.texts) {
				continue
			}
			text := j.texts[next[i]]
			if len(texts) == embedSequences || len(texts) > 0 && tokens+len(text) > together {
				return owners, texts
			}
			owners, texts = append(owners, j), append(texts, text)
			tokens, some = tokens+len(text), true
			next[i]++
		}
	}
	return owners, texts
}

// embed gives one vector per text.
func (e *embedder) embed(ctx context.Context, texts [][]llama.Token) ([][]float32, error) {
	e.asked.Add(1)
	defer e.asked.Add(-1)
	j := &embedJob{ctx: ctx, texts: texts, ready: make(chan struct{})}
	select {
	case e.submit <- j:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.done:
		return nil, errStopping
	}
	select {
	case <-j.ready:
		return j.vectors, j.err
	case <-ctx.Done(): // the loop sees it at its next step
		return nil, ctx.Err()
	}
}
