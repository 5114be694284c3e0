package models

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/lotabots/lotabots/actors/egress"
	"github.com/lotabots/lotabots/cluster/blob"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/blobs"
)

const (
	lookEvery = 5 * time.Second       // though nothing was heard
	sweeps    = 30 * time.Second      // between two looks for what is to go
	firstWait = 2 * time.Second       // before a fetch that failed is tried again
	lastWait  = time.Minute           // at most, after more failures
	atOnce    = 2                     // fetches ahead of need
	settle    = 50 * time.Millisecond // after a change of the state, in which others come
)

// Options are what an operator sets, read anew at each look.
type Options struct {
	Disk   int64         // bytes that whole models may take before copies that others have go; 0: no limit
	Grace  time.Duration // before what nobody needs goes
	Scrub  time.Duration // between two checks of each model; 0: none
	Rate   int64         // bytes a second that checks read at most; 0: no limit
	Pulls  []string      // URL prefixes that models may be pulled from
	Egress egress.Policy // of pulls
}

// Config of a Keeper.
type Config struct {
	Self     spec.NodeID
	Store    *blobs.Store
	Fetcher  *blob.Fetcher
	View     func() View
	Options  func() Options
	Client   *http.Client         // of the cluster port's protocol blob
	Others   func() []spec.NodeID // living nodes, this one not among them
	Announce func(ctx context.Context, m *wire.Model) error
	Pulls    string     // the file that pulls under way are noted in; empty: they end with the process
	Pace     *blob.Pace // of what comes
	Metrics  *blob.Metrics
	Log      *slog.Logger
}

// A Keeper sees to this node's model files. Run runs it.
type Keeper struct {
	cfg  Config
	wake chan struct{}
	pace blob.Pace // of checks
	all  sync.WaitGroup

	mu struct {
		sync.Mutex
		closed   bool
		fetching map[string]context.CancelFunc // by digest
		after    map[string]retry              // by digest
		needless map[string]time.Time          // by digest
		pulls    map[string]*pull              // by the model's name
		checked  map[string]time.Time          // by digest
		checking map[string]*checking          // by the model's name
		promised map[string]time.Time          // until when a copy is kept for others, by digest
		removing map[string]bool               // by digest
		holds    int                           // imports whose models are not in the state yet
	}
}

type retry struct {
	at   time.Time
	wait time.Duration
}

// New returns a Keeper that does nothing yet.
func New(c Config) *Keeper {
	k := &Keeper{cfg: c, wake: make(chan struct{}, 1)}
	k.mu.fetching, k.mu.after, k.mu.needless = map[string]context.CancelFunc{}, map[string]retry{}, map[string]time.Time{}
	k.mu.promised, k.mu.removing = map[string]time.Time{}, map[string]bool{}
	k.mu.pulls, k.mu.checked, k.mu.checking = map[string]*pull{}, map[string]time.Time{}, map[string]*checking{}
	return k
}

// Wake has it look soon. It never blocks.
func (k *Keeper) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run keeps files until ctx ends, and has ended what it began when it returns.
func (k *Keeper) Run(ctx context.Context) {
	defer k.end()
	k.resumePulls(ctx)
	look, sweep := time.NewTicker(lookEvery), time.NewTicker(sweeps)
	defer look.Stop()
	defer sweep.Stop()
	for {
		k.fetchWanted(ctx)
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
			pause(ctx, settle)
		case <-look.C:
			k.scrubNext(ctx)
		case <-sweep.C:
			if _, err := k.Collect(ctx, false); err != nil {
				k.cfg.Log.Warn("model files that nobody needs were not removed", "error", err)
			}
		}
	}
}

// pause lets what comes together come.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// end ends pulls and fetches.
func (k *Keeper) end() {
	k.mu.Lock()
	k.mu.closed = true
	for _, p := range k.mu.pulls {
		p.cancel()
	}
	for _, c := range k.mu.checking {
		c.cancel()
	}
	k.mu.Unlock()
	k.all.Wait()
}

// fetchWanted begins what is missing, and ends what is not wanted any more.
func (k *Keeper) fetchWanted(ctx context.Context) {
	v, want := k.cfg.View(), map[string]bool{}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range wanted(v) {
		key := string(m.GetDigest())
		want[key] = true
		switch {
		case k.cfg.Store.Has(m.GetDigest()):
			delete(k.mu.after, key)
		case k.mu.fetching[key] != nil || len(k.mu.fetching) >= atOnce || time.Now().Before(k.mu.after[key].at):
		default:
			own, cancel := context.WithCancel(ctx)
			k.mu.fetching[key] = cancel
			k.all.Go(func() { k.fetch(own, m) })
		}
	}
	for key, cancel := range k.mu.fetching {
		if !want[key] {
			cancel() // an engine that waits for the same fetch has it go on
		}
	}
}

func (k *Keeper) fetch(ctx context.Context, m *wire.Model) {
	key := string(m.GetDigest())
	_, err := k.cfg.Fetcher.Fetch(ctx, m, nil)
	k.mu.Lock()
	k.mu.fetching[key]()
	delete(k.mu.fetching, key)
	if err != nil && ctx.Err() == nil {
		r := k.mu.after[key]
		r.wait = min(max(firstWait, 2*r.wait), lastWait)
		r.at = time.Now().Add(r.wait)
		k.mu.after[key] = r
		k.cfg.Log.Warn("a model could not be fetched ahead of its first request", "model", m.GetName(), "again_in", r.wait, "error", err)
	}
	k.mu.Unlock()
	k.Wake()
}

// Collect tells what is to go, and removes what may go now unless dry is set.
func (k *Keeper) Collect(ctx context.Context, dry bool) ([]Doomed, error) {
	s, err := k.scene(ctx)
	if err != nil {
		return nil, err
	}
	all := discard(s)
	if dry {
		return all, nil
	}
	var failed []error
	for _, d := range all {
		if d.InMS > 0 || d.InUse || !s.view.Fresh || d.Cause == causeOrphan && s.importing {
			continue
		}
		if err := k.remove(ctx, s, d); errors.Is(err, blobs.ErrBusy) || errors.Is(err, errKept) {
			k.cfg.Log.Debug("a model's file stays", "digest", d.Digest, "model", d.Model, "kind", d.Kind, "why", err)
		} else if err != nil {
			failed = append(failed, err)
		} else {
			k.cfg.Log.Info("a model's file was removed", "digest", d.Digest, "model", d.Model, "kind", d.Kind, "bytes", d.Bytes, "cause", d.Cause)
		}
	}
	return all, errors.Join(failed...)
}

// scene looks at what there is. Other nodes are asked only where copies may have to go.
func (k *Keeper) scene(ctx context.Context) (scene, error) {
	o := k.cfg.Options()
	s := scene{now: time.Now(), needless: map[string]time.Time{}, grace: o.Grace, limit: o.Disk} // what comes after now is not judged by what was seen
	k.mu.Lock()
	s.importing = k.mu.holds > 0
	k.mu.Unlock()
	held, err := k.cfg.Store.List()
	if err != nil {
		return scene{}, err
	}
	s.view, s.held = k.cfg.View(), held
	known, total, left := map[string]bool{}, int64(0), false
	for _, m := range s.view.Models {
		known[string(m.GetDigest())] = true
	}
	k.mu.Lock()
	for _, h := range held {
		if key := string(h.Digest); h.Kind == blobs.Whole && !known[key] {
			if from, ok := k.mu.needless[key]; ok {
				s.needless[key] = from
			} else {
				s.needless[key] = s.now
			}
		}
		if h.Kind == blobs.Whole {
			total += h.Bytes
		}
		left = left || h.Kind == blobs.Partial && known[string(h.Digest)] && s.now.Sub(h.Used) > s.grace
	}
	k.mu.needless = s.needless
	s.promised = k.promisedLocked(s.now)
	k.mu.Unlock()
	if len(held) > 0 {
		s.inUse = k.cfg.Store.InUse()
	}
	s.safe = func(*wire.Model) bool { return false }
	if left || s.limit > 0 && total > s.limit {
		s.safe = safeBy(s.view, k.Reports(ctx))
	}
	return s, nil
}

// safeBy tells by nodes' reports whether all that are to keep a model have it.
func safeBy(v View, reports []Report) func(m *wire.Model) bool {
	have := map[string]bool{}
	for _, r := range reports {
		for _, h := range r.Models {
			if h.Kind == string(blobs.Whole) {
				have[r.Node+"/"+h.Digest] = true
			}
		}
	}
	return func(m *wire.Model) bool {
		homes := Homes(v, m)
		for _, id := range homes {
			if !have[string(id)+"/"+hex.EncodeToString(m.GetDigest())] {
				return false
			}
		}
		return len(homes) > 0
	}
}
