package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// start runs `node run` for the node in dir. The process leads a group of its own,
// so that a Ctrl-C at the terminal reaches dev alone, but no session: Linux shares
// processors out by session (sched_autogroup), and a node alone in one is measured
// otherwise than what it is compared with. It ends when the process follow does, so
// that nothing is left behind whatever happens to dev.
func start(binary, dir string, follow int) (*exec.Cmd, error) {
	log, err := os.OpenFile(filepath.Join(dir, "node.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(binary, "node", "run", "--data", dir, "--follow-pid", strconv.Itoa(follow))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting node in %s: %w", dir, err)
	}
	return cmd, nil
}

// runs tells whether pid is a living node process of the directory dir.
func runs(pid int, dir string) bool {
	if pid <= 0 || syscall.Kill(pid, 0) != nil {
		return false
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return errors.Is(err, os.ErrPermission) // no /proc to ask: believe the signal
	}
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		if i := bytes.LastIndexByte(stat, ')'); i > 0 && strings.HasPrefix(string(stat[i+1:]), " Z") {
			return false // dead, not yet reaped
		}
	}
	// A process that is still being executed has no command line yet.
	return len(line) == 0 || bytes.Contains(line, []byte(dir))
}

// stop ends the processes of nodes, gently for grace, then by force. It names
// those that took force.
func stop(nodes []Node, grace time.Duration) (forced []string) {
	for _, n := range nodes {
		if runs(n.PID, n.Data) {
			_ = syscall.Kill(n.PID, syscall.SIGTERM)
			_ = syscall.Kill(n.PID, syscall.SIGCONT)
		}
	}
	deadline := time.Now().Add(grace)
	for time.Now().Before(deadline) && anyRuns(nodes) {
		time.Sleep(20 * time.Millisecond)
	}
	for _, n := range nodes {
		if runs(n.PID, n.Data) {
			if !slices.Contains(forced, n.ID) {
				forced = append(forced, n.ID)
			}
			_ = syscall.Kill(n.PID, syscall.SIGKILL)
		}
	}
	return forced
}

func anyRuns(nodes []Node) bool {
	for _, n := range nodes {
		if runs(n.PID, n.Data) {
			return true
		}
	}
	return false
}

// awaitReady waits until the node's /readyz answers 200.
func awaitReady(ctx context.Context, n Node) error {
	probe := &http.Client{Timeout: time.Second}
	var last string
	for {
		answer, err := probe.Get(n.API + "/readyz")
		if err == nil {
			raw := make([]byte, 512)
			k, _ := answer.Body.Read(raw)
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			last = strings.TrimSpace(string(raw[:k]))
		} else {
			last = err.Error()
		}
		if !runs(n.PID, n.Data) {
			return fmt.Errorf("node %s ended while starting; its last lines:\n%s", n.ID, tail(filepath.Join(n.Data, "node.log"), 12))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("node %s is not ready: %s; its last lines:\n%s", n.ID, last, tail(filepath.Join(n.Data, "node.log"), 12))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tail returns the last n lines of the file.
func tail(file string, n int) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}
