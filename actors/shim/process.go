package shim

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/cluster/spec/slack"
)

// leashScript runs in the program's group. Its watcher reads a pipe that only the shim holds open.
const leashScript = `(cat >/dev/null; kill -KILL 0) <&3 3<&- & exec 3<&-; exec "$@"`

// A process is the engine: a program in a session of its own. Whatever it starts belongs to its group and
// ends with it.
type process struct {
	cmd    *exec.Cmd
	hold   *os.File // the pipe's end that the shim holds
	cgroup *cgroup  // nil: none
	done   chan struct{}
	how    string // it ended; set before done is closed, which is when nothing of it is left

	mu struct {
		sync.Mutex
		reaped bool // from here on its number may be another process's
	}
}

// startProcess starts c; out gets what it says.
func startProcess(c *Command, out io.Writer, g *cgroup) (*process, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	p := &process{hold: write, cgroup: g, done: make(chan struct{})}
	if c.Leash {
		p.cmd = exec.Command("/bin/sh", append([]string{"-c", leashScript, "sh", c.Path}, c.Args...)...)
		p.cmd.ExtraFiles = []*os.File{read}
	} else {
		p.cmd = exec.Command(c.Path, c.Args...)
		p.cmd.Stdin = read
	}
	if p.cmd.Env = c.Env; c.Env == nil {
		p.cmd.Env = []string{} // nil would mean the shim's
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Dir = c.Dir
	p.cmd.SysProcAttr = apart()
	if u := c.User; u != nil {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	g.join(p.cmd.SysProcAttr)
	p.cmd.WaitDelay = 2 * time.Second // should somebody who was not found hold its output open
	started := make(chan error)
	go p.attend(started)
	if err := <-started; err != nil {
		_ = write.Close()
		return nil, err
	}
	return p, nil
}

// attend starts the process and waits for its end on one thread that lives as long: the kernel takes
// the end of the thread that started a child for the parent's.
func (p *process) attend(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var err error
	if p.cmd.SysProcAttr.Credential != nil {
		err = renounce()
	}
	slack.Return()
	if err == nil {
		err = p.cmd.Start()
	}
	started <- err
	if err != nil {
		return
	}
	early := awaitExit(p.cmd.Process.Pid)
	if early {
		p.endGroup() // what it leaves behind, before its number is free again
		p.cgroup.kill()
		endChildren(p.cmd.Process.Pid)
	}
	err = p.cmd.Wait()
	if !early {
		p.endGroup()
	}
	_ = p.hold.Close()
	if p.how = fmt.Sprintf("its process ended: %s", p.cmd.ProcessState); p.cmd.ProcessState == nil {
		p.how = fmt.Sprintf("its process was lost: %v", err)
	}
	p.cgroup.remove()
	close(p.done)
}

// endGroup kills what is left of the group, once.
func (p *process) endGroup() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killLocked() // mostly there is nothing left
	p.mu.reaped = true
}

func (p *process) killLocked() {
	if !p.mu.reaped {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// term asks the process to end.
func (p *process) term() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.mu.reaped {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // its leader alone: whatever it started is its own to end
	}
}

// kill ends its group and its cgroup.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killLocked()
	p.cgroup.kill()
}

// childWait bounds how long killed processes may take: one stuck in a driver cannot be ended by anybody.
const childWait = 5 * time.Second
