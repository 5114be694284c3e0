package actors

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/announce"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	// cryEvery is how often engines at work are asked what they hold, so that gateways know it within a second.
	cryEvery = 400 * time.Millisecond
	askLimit = time.Second
	// roundTurns are the turns in which all that is held is told again: well within the time for which gateways
	// believe it.
	roundTurns = 120
	// maxNews are the datagrams of changes that the node sends in a turn; what is left waits for the next.
	maxNews = 8
	// fewNames surely have room in one datagram.
	fewNames = 60
)

// A crier tells gateways which beginnings of prompts the node's engines hold. One goroutine owns what it
// knows of them; questions to an engine have goroutines of their own. Engines are known from their first
// request on.
type crier struct {
	node spec.NodeID
	boot uint64
	tell func(*wire.LoadDigest) // must not block
	log  *slog.Logger
	room int // of a PrefixNews in a digest

	mu struct {
		sync.Mutex
		used map[spec.InstanceID]*use
	}
	voices  map[spec.InstanceID]*voice
	answers chan answered
	asking  sync.WaitGroup
}

// A use is the requests on an instance's engine since the crier last looked.
type use struct {
	engine  engine.Engine
	running int
	due     bool
}

// A voice is one engine that tells what it holds. The crier's goroutine owns it.
type voice struct {
	engine engine.Engine
	told   engine.Holdings
	book   announce.Book
	epoch  string
	seq    uint64
	asked  bool    // the answer has not come
	due    int     // turns in which it is still to be asked
	owed   float64 // names that are to be told again
}

type answered struct {
	instance spec.InstanceID
	voice    *voice
	held     engine.Held
	err      error
}

func newCrier(c *Config, tell func(*wire.LoadDigest)) *crier {
	w := &crier{node: c.Node, boot: c.Boot, tell: tell, log: c.Log, voices: map[spec.InstanceID]*voice{}, answers: make(chan answered)}
	w.room = maxDatagram - noteSize - proto.Size(&wire.LoadDigest{Node: string(c.Node), Boot: c.Boot})
	w.mu.used = map[spec.InstanceID]*use{}
	return w
}

// begin notes that an instance's engine gets a request, and returns what is to be called at its end; it is
// not nil.
func (w *crier) begin(id spec.InstanceID, e engine.Engine) func() {
	if h, ok := engine.As[engine.Holdings](e); !ok || !h.TellsHeld() {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.mu.used[id]
	if u == nil || u.engine != e {
		u = &use{engine: e}
		w.mu.used[id] = u
	}
	u.running++
	u.due = true
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		u.running--
		u.due = true
	}
}

// run tells until ctx ends.
func (w *crier) run(ctx context.Context) {
	defer w.asking.Wait()
	tick := time.NewTicker(cryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-w.answers:
			w.learn(a)
			w.cry(1, false) // who is told at once may be asked at once
		case <-tick.C:
			w.look()
			w.ask(ctx)
			w.cry(maxNews, true)
		}
	}
}

// look takes over which engines were used, and forgets those that have ended.
func (w *crier) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, u := range w.mu.used {
		v := w.voices[id]
		if v == nil || v.engine != u.engine {
			told, _ := engine.As[engine.Holdings](u.engine)
			v = &voice{engine: u.engine, told: told}
			w.voices[id] = v
		}
		if u.due || u.running > 0 {
			v.due, u.due = 2, false // what the last token leaves behind is told a moment after it
		}
	}
	for id, v := range w.voices {
		select {
		case <-v.engine.Done():
			delete(w.voices, id)
			delete(w.mu.used, id)
		default:
		}
	}
}

func (w *crier) ask(ctx context.Context) {
	for id, v := range w.voices {
		if v.asked || v.due == 0 {
			continue
		}
		v.asked = true
		v.due--
		epoch, seq := v.epoch, v.seq
		w.asking.Go(func() {
			asking, cancel := context.WithTimeout(ctx, askLimit)
			defer cancel()
			held, err := v.told.Held(asking, epoch, seq)
			select {
			case w.answers <- answered{id, v, held, err}:
			case <-ctx.Done():
			}
		})
	}
}

func (w *crier) learn(a answered) {
	v := a.voice
	v.asked = false
	if a.err != nil {
		w.log.Debug("an engine did not tell what it holds", "instance", a.instance, "error", a.err)
		return
	}
	var added []announce.Mark
	for _, m := range a.held.Added {
		if name, err := strconv.ParseUint(m.Name, 16, 64); err == nil && m.Tokens > 0 {
			added = append(added, announce.Mark{Name: name, Tokens: uint32(min(m.Tokens, 1<<30))})
		}
	}
	var removed []uint64
	for _, text := range a.held.Removed {
		if name, err := strconv.ParseUint(text, 16, 64); err == nil {
			removed = append(removed, name)
		}
	}
	v.epoch, v.seq = a.held.Epoch, a.held.Seq
	v.book.Update(announce.Epoch(a.held.Epoch), a.held.Reset, added, removed)
}

// cry sends news, at most so many datagrams of it, and, where again, the part of all that is held whose turn it is.
func (w *crier) cry(most int, again bool) {
	for id, v := range w.voices {
		for most > 0 && v.book.Pending() {
			w.send(v.book.Next(string(id), w.room))
			most--
			if !again {
				break
			}
		}
	}
	if !again {
		return
	}
	for id, v := range w.voices {
		n := float64(v.book.Len())
		if v.owed += n / roundTurns; n > 0 && v.owed >= min(n, fewNames) {
			v.owed = 0
			w.send(v.book.Again(string(id), w.room))
		}
	}
}

func (w *crier) send(n *wire.PrefixNews) {
	if n != nil {
		w.tell(&wire.LoadDigest{Node: string(w.node), Boot: w.boot, Prefixes: []*wire.PrefixNews{n}})
	}
}
