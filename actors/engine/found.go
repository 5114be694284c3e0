package engine

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/actors/shim"
	"github.com/lotabots/lotabots/cluster/spec"
)

// findTime bounds what one shim may take to answer, all being asked at a time: a node's start waits for it. One that
// could answer and does not is known long before, by shim.ErrMute. claimTime is how long the claim of the process
// before may still be seen, and deathTime how long the lock of a shim that has been killed.
const (
	findTime  = 30 * time.Second
	claimTime = 10 * time.Second
	deathTime = 2 * time.Second
)

// Find looks for engines that an earlier process of this node has left running, and claims them: they wait
// for Open of their instance, or for Disown. What cannot be taken over is ended, and so is what runs without
// its shim. It is called once, before anything is opened.
func (p *Presets) Find(ctx context.Context) []Spec {
	p.rooms.Lock()
	defer p.rooms.Unlock()
	run, err := filepath.Abs(p.config.RunDir)
	if err != nil {
		return nil
	}
	p.tidy(run) // leaves those that are held
	rooms, err := filepath.Glob(filepath.Join(escapeGlob(run), "*"+roomEnd))
	if err != nil {
		return nil
	}
	var asking sync.WaitGroup
	got := make([]*found, len(rooms))
	for i, room := range rooms {
		asking.Go(func() { got[i] = p.find(ctx, room) })
	}
	asking.Wait()
	var out []Spec
	p.left.Lock()
	defer p.left.Unlock()
	for _, f := range got {
		if f != nil {
			p.left.engines[f.kept.Spec.Instance] = f
			out = append(out, f.kept.Spec)
		}
	}
	slices.SortFunc(out, func(a, b Spec) int { return cmp.Compare(a.Instance, b.Instance) })
	return out
}

// find claims the engine in a room; nil: it could not be had, and is ended.
func (p *Presets) find(ctx context.Context, dir string) *found {
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	log := p.config.Log.With("room", dir)
	link, err := shim.Dial(ctx, dir)
	if err != nil {
		if !p.died(ctx, dir) {
			log.Warn("an engine's shim does not answer; its engine is left to it", "error", err)
		}
		return nil
	}
	f, err := p.claimFound(ctx, link, dir)
	if err != nil && (ctx.Err() != nil || errors.Is(err, shim.ErrMute)) {
		log.Error("an engine's shim is there and does not answer: it is killed, and its engine with it; the leader has its instance loaded anew", "error", err)
		p.endings.Go(func() {
			if err := link.Kill(); err != nil {
				log.Error("an engine does not end", "error", err)
			}
		})
		return nil
	}
	if err != nil {
		log.Warn("an engine of the node's earlier process cannot be taken over, and is ended", "error", err)
		if err := link.Stop(context.Background(), 0); err != nil {
			log.Error("an engine does not end", "error", err)
		} else {
			p.died(ctx, dir)
		}
		return nil
	}
	log.Info("an engine of the node's earlier process was found", "instance", f.kept.Spec.Instance, "preset", f.kept.Spec.Preset, "pid", f.pid, "ready", f.kept.Ready)
	return f
}

// died tells whether the room's shim was at its end, and clears what it has left of the room then: who is killed keeps
// its lock for a moment longer than its engine lives, and its socket for one that is shorter or not.
func (p *Presets) died(ctx context.Context, dir string) bool {
	for end := time.Now().Add(deathTime); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if err := p.clear(dir); !errors.Is(err, syscall.EWOULDBLOCK) {
			return err == nil || errors.Is(err, os.ErrNotExist) // it has removed the room itself
		}
	}
	return false
}

func (p *Presets) claimFound(ctx context.Context, link *shim.Link, dir string) (*found, error) {
	d, err := link.Describe(ctx)
	if err != nil {
		return nil, err
	}
	k, err := decodeKept(d.Note)
	if err != nil {
		return nil, err
	}
	if d.Phase != "running" {
		return nil, errors.New("it is " + d.Phase)
	}
	home := filepath.Join(dir, homeName)
	if _, err := os.Lstat(home); errors.Is(err, os.ErrNotExist) {
		home = dir // of a build whose engines had the room itself
	}
	if !ownedBy(home, p.config.User) {
		return nil, errors.New("it runs as another user than engines do now")
	}
	// The kernel may not have told the shim yet that the process before is gone.
	for end := time.Now().Add(claimTime); ; time.Sleep(10 * time.Millisecond) {
		if _, err = link.Claim(ctx, p.claim(k.Spec)); err == nil {
			break
		}
		if refused := (*shim.RefusalError)(nil); !errors.As(err, &refused) || refused.Code != shim.Claimed || time.Now().After(end) {
			return nil, err
		}
	}
	here, err := os.Open(home)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(dir), roomEnd)
	return &found{kept: k, link: link, pid: d.PID, room: &room{dir: dir, home: home, here: here, logPath: logOf(filepath.Dir(dir), name)}}, nil
}

// Disown has the found engine of an instance ended, that nobody takes over. It does not wait: Close does.
func (p *Presets) Disown(id spec.InstanceID, why string) {
	if f := p.takeFound(id); f != nil {
		p.endings.Go(func() { f.end(p, why) })
	}
}

func (p *Presets) takeFound(id spec.InstanceID) *found {
	p.left.Lock()
	defer p.left.Unlock()
	f := p.left.engines[id]
	delete(p.left.engines, id)
	return f
}

// Attach returns the engine that Find has found of an instance. It is as one of Open's: its Start returns
// once it serves, without a second load. False: there is none, or it cannot be had, and is ended.
func (p *Presets) Attach(id spec.InstanceID) (Engine, bool) {
	f := p.takeFound(id)
	if f == nil {
		return nil, false
	}
	opened, err := p.Open(f.kept.Spec)
	l, ok := opened.(*local)
	if err != nil || !ok {
		f.end(p, "it could not be started anew: "+errorText(err))
		return nil, false
	}
	l.found = f
	return l, true
}

func errorText(err error) string {
	if err == nil {
		return "no process"
	}
	return err.Error()
}

// Leave has Stop leave engines to the next process of the node, where they may linger.
func (p *Presets) Leave() {
	if p.config.Linger > 0 {
		p.leaving.Store(true)
	}
}

// Close ends the found engines that nobody has taken over, or leaves them where Leave was called.
func (p *Presets) Close() {
	p.left.Lock()
	engines := p.left.engines
	p.left.engines = map[spec.InstanceID]*found{}
	p.left.Unlock()
	for _, f := range engines {
		if p.leaving.Load() {
			f.release()
			continue
		}
		f.end(p, "the node ends")
	}
	p.endings.Wait()
}
