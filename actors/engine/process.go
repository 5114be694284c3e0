package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A command is a program to run.
type command struct {
	path string
	args []string
	env  []string // beside what inherited lets through
	dir  string

	// leash makes the program die with the node though it starts others, or knows nothing of us: a shell
	// beside it waits for the node's end and kills the whole group. Without, stdin is a pipe that ends
	// with the node, which the program has to watch itself.
	leash bool
}

// leashScript runs in the program's group. Its watcher reads a pipe that only the node holds open.
const leashScript = `(cat >/dev/null; kill -KILL 0) <&3 3<&- & exec 3<&-; exec "$@"`

// A process is a program in a session of its own. Whatever it starts belongs to its group and ends with it.
type process struct {
	cmd  *exec.Cmd
	hold *os.File      // the pipe's end that the node holds
	done chan struct{} // closed when the process and its group are gone

	mu struct {
		sync.Mutex
		stopping bool
		reaped   bool // from here on its number may be another process's
		err      error
	}
}

// startProcess starts c; out gets what it says, and after is called once it is gone.
func startProcess(c command, out *output, after func()) (*process, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	p := &process{hold: write, done: make(chan struct{})}
	if c.leash {
		p.cmd = exec.Command("/bin/sh", append([]string{"-c", leashScript, "sh", c.path}, c.args...)...)
		p.cmd.ExtraFiles = []*os.File{read}
	} else {
		p.cmd = exec.Command(c.path, c.args...)
		p.cmd.Stdin = read
	}
	p.cmd.Dir, p.cmd.Env = c.dir, append(inherited(os.Environ()), c.env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = apart()
	p.cmd.WaitDelay = 2 * time.Second // should somebody outside of the group hold its output open
	started := make(chan error)
	go p.attend(started, after)
	if err := <-started; err != nil {
		_ = write.Close()
		return nil, err
	}
	return p, nil
}

// attend starts the process and waits for its end on one thread that lives as long: the kernel takes
// the end of the thread that started a child for the parent's.
func (p *process) attend(started chan<- error, after func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	early := awaitExit(p.cmd.Process.Pid)
	if early {
		p.endGroup() // what it leaves behind, before its number is free again
	}
	err = p.cmd.Wait()
	if !early {
		p.endGroup()
	}
	_ = p.hold.Close()
	p.mu.Lock()
	switch {
	case p.mu.stopping:
	case p.cmd.ProcessState == nil:
		p.mu.err = fmt.Errorf("its process was lost: %w", err)
	default:
		p.mu.err = fmt.Errorf("its process ended: %s", p.cmd.ProcessState)
	}
	p.mu.Unlock()
	after()
	close(p.done)
}

// endGroup kills what is left of the group, once.
func (p *process) endGroup() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.killLocked() // mostly there is nothing left
	p.mu.reaped = true
}

func (p *process) killLocked() error {
	if p.mu.reaped {
		return nil
	}
	return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
}

// err is how the process ended, once done is closed; nil: it was asked to.
func (p *process) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.err
}

// killWait bounds how long a killed process may stay: one stuck in a driver cannot be ended by anybody.
const killWait = 10 * time.Second

// stop asks the process to end, kills its group after the grace or when ctx is over, and waits.
func (p *process) stop(ctx context.Context, grace time.Duration) error {
	p.mu.Lock()
	p.mu.stopping = true
	if !p.mu.reaped {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // its leader alone: whatever it started is its own to end
	}
	p.mu.Unlock()
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	case <-limit.C:
	}
	p.mu.Lock()
	err := p.killLocked()
	p.mu.Unlock()
	limit.Reset(killWait)
	select {
	case <-p.done:
		return nil
	case <-limit.C:
		return errors.Join(fmt.Errorf("process %d does not end, though it was killed", p.cmd.Process.Pid), err)
	}
}

// inherited lets through what programs need of the node's environment. The rest stays here: it may hold
// keys, and proxies or preloads that were meant for the node.
func inherited(environment []string) []string {
	var out []string
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "PATH", "HOME", "LANG", "TZ", "TMPDIR", "XDG_CACHE_HOME", "LD_LIBRARY_PATH":
			out = append(out, entry)
			continue
		}
		for _, prefix := range []string{"LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "HSA_", "GGML_", "OMP_", "GODEBUG", "GOCOVERDIR"} {
			if strings.HasPrefix(name, prefix) {
				out = append(out, entry)
				break
			}
		}
	}
	return out
}
