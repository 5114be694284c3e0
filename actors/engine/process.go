package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/actors/shim"
)

// A command is a program to run.
type command struct {
	path string
	args []string
	env  []string // beside what inherited lets through

	// leash makes the program die with its shim though it starts others, or knows nothing of us; see
	// shim.Command. Without, stdin is a pipe that ends with the shim, which the program has to watch itself.
	leash bool
}

// A process is an engine's program, held by a shim.
type process struct {
	link *shim.Link
	log  string // file of what it says
	pid  int
	born string        // with pid, names the process for good; empty: not known
	done chan struct{} // closed when the process and its group are gone, or were left to the next node

	mu struct {
		sync.Mutex
		stopping bool
	}
}

// startProcess starts a shim in the room, and c in its hands. after is called once it is gone. The room
// and its log are the process's from then on, also after an error.
func (p *Presets) startProcess(ctx context.Context, c command, s Spec, r *room, note []byte, after func()) (*process, error) {
	link, err := shim.Start(shim.Options{Program: p.config.Shim, Room: r.dir, Lock: r.lock, Log: r.log, Env: inherited(os.Environ())})
	if err != nil {
		_ = os.RemoveAll(r.dir)
		r.close()
		return nil, err
	}
	if _, err = link.Claim(ctx, p.claim(s)); err == nil {
		var d *shim.Description
		if d, err = p.launch(ctx, link, c, s.Preset, r, note); err == nil {
			return p.newProcess(link, s, r.logPath, d.PID, after), nil
		}
	}
	_ = link.Stop(ctx, 0)
	r.close()
	return nil, fmt.Errorf("its shim, whose log is %s: %w", r.logPath, err)
}

func (p *Presets) newProcess(link *shim.Link, s Spec, log string, pid int, after func()) *process {
	held := &process{link: link, log: log, pid: pid, born: shim.Born(pid), done: make(chan struct{})}
	go func() {
		link.Attend(func() {
			p.config.Log.Error("an engine's shim answers nothing any more: it is killed, and its engine with it", "instance", s.Instance, "pid", pid)
		})
		after()
		close(held.done)
	}()
	return held
}

// claim is this node's on the engine of s.
func (p *Presets) claim(s Spec) shim.Claim {
	return shim.Claim{Node: p.config.Node, Boot: p.config.Boot, Instance: string(s.Instance), Epoch: s.Epoch,
		Linger: p.config.Linger.Milliseconds(), Grace: p.config.Grace.Milliseconds()}
}

// err is how the process ended, once done is closed; nil: it was asked to.
func (p *process) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.stopping {
		return nil
	}
	e := p.link.Ending()
	if e.Why != "" {
		return fmt.Errorf("%s, since %s", e.How, e.Why)
	}
	return fmt.Errorf("%s", e.How)
}

func (p *process) setStopping() {
	p.mu.Lock()
	p.mu.stopping = true
	p.mu.Unlock()
}

// stop asks the process to end, kills its group after the grace or when ctx is over, and waits.
func (p *process) stop(ctx context.Context, grace time.Duration) error {
	p.setStopping()
	if err := p.link.Stop(ctx, grace); err != nil {
		return err
	}
	<-p.done
	return nil
}

// release leaves the process to the next node.
func (p *process) release() {
	p.setStopping()
	p.link.Release()
	<-p.done
}

// tailRead is how much of a log a failure is looked for in: a cause is often told long before the end.
const tailRead = 256 << 10

// said is the end of what the process has said: of its log, as far as that can be read, else what its shim
// remembers.
func (p *process) said() string {
	raw, err := endOf(p.log, tailRead)
	if err != nil || raw == "" {
		return p.link.Tail()
	}
	return raw
}

func endOf(path string, most int64) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe in its place holds nobody up
	if err != nil {
		return "", err
	}
	defer file.Close()
	switch info, err := file.Stat(); {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no plain file", path)
	case info.Size() > most:
		_, _ = file.Seek(-most, io.SeekEnd)
	}
	raw, err := io.ReadAll(io.LimitReader(file, most))
	return string(raw), err
}

// logOf is the path of an instance's log in the run directory.
func logOf(run, name string) string { return filepath.Join(run, name+logEnd) }
