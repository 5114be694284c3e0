package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/lotabots/lotabots/actors/engine/account"
	"github.com/lotabots/lotabots/actors/shim"
	"github.com/lotabots/lotabots/cluster/spec"
)

// launch has the shim start c, as whom the configuration says.
func (p *Presets) launch(ctx context.Context, link *shim.Link, c command, preset string, r *room, note []byte) (*shim.Description, error) {
	launch := shim.Command{Path: c.path, Args: c.args, Env: append(inherited(os.Environ()), c.env...), Log: r.logPath, Dir: homeName, Leash: c.leash}
	cache := cacheOf(r, preset)
	u := p.config.User
	if err := p.ownCache(cache, u); err != nil {
		return nil, err
	}
	if u == nil {
		return link.Launch(ctx, launch, note)
	}
	give := func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(u.UID), int(u.GID))
	}
	if err := filepath.WalkDir(r.home, give); err != nil { // what its driver has put there: nothing runs in it yet
		return nil, fmt.Errorf("the engine's directory cannot be given to the user %s: %w", u.Name, err)
	}
	launch.Env = append(withoutOwn(inherited(os.Environ())), "HOME="+r.home, "XDG_CACHE_HOME="+cache)
	launch.Env = append(launch.Env, c.env...)
	launch.User = &shim.User{UID: u.UID, GID: u.GID, Groups: u.Groups}
	return link.Launch(ctx, launch, note)
}

// withoutOwn leaves out what names directories of whoever runs the node.
func withoutOwn(environment []string) (out []string) {
	for _, entry := range environment {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "HOME", "TMPDIR", "XDG_CACHE_HOME":
		default:
			out = append(out, entry)
		}
	}
	return out
}

// ownCache makes an engine's cache its user's. One that has been another user's goes: engines believe what
// they find there, and run it.
func (p *Presets) ownCache(cache string, u *account.Account) error {
	p.rooms.Lock()
	defer p.rooms.Unlock()
	if !ownedBy(cache, u) {
		if err := os.RemoveAll(cache); err != nil {
			return err
		}
	}
	if u == nil {
		return nil // its program makes it
	}
	return errors.Join(os.MkdirAll(cache, 0o700), os.Lchown(cache, int(u.UID), int(u.GID)))
}

// ownedBy tells whether what is at path, if anything, is the user's; nil: this process's.
func ownedBy(path string, u *account.Account) bool {
	owner := os.Geteuid()
	if u != nil {
		owner = int(u.UID)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return true
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(s.Uid) == owner
}

// cacheOf is where engines of a preset keep what they compute once, beside the rooms.
func cacheOf(r *room, preset string) string {
	return filepath.Join(filepath.Dir(r.dir), preset+".cache")
}

// explainUser adds to a failed start what the engine's user could not reach.
func (l *local) explainUser(e *spec.Error) {
	u := l.presets.config.User
	if u == nil {
		return
	}
	for _, path := range l.needs() {
		if err := u.Blocked(path); err != nil {
			e.Message += fmt.Sprintf("; engines run as the user %s: %v", u.Name, err)
			e.Hint = "Let that user read it, put it elsewhere, or choose another engines.user"
			return
		}
	}
}

// needs are the files that are known to be read by the engine.
func (l *local) needs() (paths []string) {
	c := l.presets.config
	switch l.spec.Preset {
	case Embedded:
		helper, libraries, _ := c.embedded() // it was found when the engine was opened
		paths = append(paths, helper, libraries)
	case Ollama:
		path, _ := c.ollama()
		paths = append(paths, path)
	case LlamaServer:
		path, _ := c.llamaServer()
		paths = append(paths, path)
	}
	if model, err := filepath.Abs(l.spec.Model); err == nil && l.spec.Model != "" {
		paths = append(paths, model)
	}
	return paths
}
