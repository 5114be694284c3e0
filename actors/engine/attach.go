package engine

import "context"

// A returning driver keeps something of launch's, or sets something of the way to its engine that no note
// holds: launch calls again too.
type returning interface{ again(w *web, r *room) }

// attach goes on with an engine that was found: as far as it had got.
func (l *local) attach(ctx context.Context, f *found) error {
	w, err := f.kept.web(f.room)
	if err != nil {
		f.end(l.presets, err.Error())
		return err
	}
	if d, ok := l.driver.(returning); ok {
		d.again(w, f.room)
	}
	p := l.presets.newProcess(f.link, l.spec, f.room.logPath, f.pid, func() {
		w.close()
		f.room.close()
		close(l.done)
	})
	l.mu.Lock()
	l.mu.process, l.mu.web = p, w
	l.mu.Unlock()
	l.presets.config.Log.Info("engine process goes on", "instance", l.spec.Instance, "preset", l.spec.Preset, "pid", f.pid, "log", f.room.logPath)
	return l.bringUp(ctx, p, w, f.room, l.inherit(ctx, f))
}

// inherit takes over who has used an engine that was found, and takes it out of its note, which is right no longer once
// others come.
func (l *local) inherit(ctx context.Context, f *found) kept {
	k, known := f.kept, f.kept.Tenants
	if k.Tenants = nil; !k.Ready || l.Mixes() == nil {
		return k
	}
	if known == nil || len(known) > 1 || f.link.Note(ctx, k.encode()) != nil {
		l.tenants.Mix()
	} else if len(known) == 1 {
		l.tenants.Serve(known[0])
	}
	return k
}

// bequeath notes, for the next process of the node, who alone has used the engine. No request comes any more.
func (l *local) bequeath(ctx context.Context, p *process) {
	l.mu.Lock()
	k := l.mu.kept
	l.mu.Unlock()
	if !k.Ready || l.Mixes() == nil || l.tenants.Shared() {
		return
	}
	k.Tenants = l.tenants.alone()
	if err := p.link.Note(ctx, k.encode()); err != nil {
		l.presets.config.Log.Warn("whom the engine has served is not noted: what it tells of its cache will be hidden", "instance", l.spec.Instance, "error", err)
	}
}

// bringUp waits until the process serves, and notes that in its shim.
func (l *local) bringUp(ctx context.Context, p *process, w *web, r *room, k kept) error {
	if err := l.await(ctx, p, w); err != nil {
		return err
	}
	f := facts{slots: k.Slots, context: k.Context, able: k.Able}
	if !k.Ready {
		var err error
		if f, err = l.driver.settle(ctx, w, r); err != nil {
			return err
		}
		k.Ready, k.Slots, k.Context, k.Able = true, f.slots, f.context, f.able
		if err := p.link.Note(ctx, k.encode()); err != nil {
			l.presets.config.Log.Warn("that the engine serves is not noted", "instance", l.spec.Instance, "error", err)
		}
	}
	l.presets.versions.note(l.spec.Preset, l.Version())
	l.mu.Lock()
	l.mu.facts, l.mu.kept = f, k
	l.mu.Unlock()
	return nil
}
