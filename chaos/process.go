package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// isNode tells whether pid is a process whose command line names the directory.
func isNode(pid int, dir string) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return pid > 0 && err == nil && bytes.Contains(raw, []byte(dir))
}

// processesOf lists the processes whose command line names dir.
func processesOf(dir string) map[int]string {
	found := map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(raw, []byte(dir)) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(file, "/proc/%d/cmdline", &pid); err == nil && pid != os.Getpid() {
			found[pid] = strings.TrimSpace(strings.ReplaceAll(string(raw), "\x00", " "))
		}
	}
	return found
}

// A tailBuffer keeps the last of what is written to it.
type tailBuffer struct {
	mu  sync.Mutex
	raw []byte
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.raw = append(t.raw, p...)
	if over := len(t.raw) - 8192; over > 0 {
		t.raw = append([]byte(nil), t.raw[over:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.raw)
}
