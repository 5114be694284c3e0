package shim

import (
	"os"
	"strings"
	"sync"
)

const (
	maxLog  = 1 << 20 // bytes of a log file; the one before it is kept as well
	maxTail = 4 << 10 // bytes that error messages draw on
	maxTold = 1 << 10 // bytes of them in one message
)

// An output takes what a process says: into a file of bounded size, and its end into memory. Its
// writes never fail: an engine must not die of a full disk's log. Both streams of a process may write.
type output struct {
	path string
	mu   struct {
		sync.Mutex
		file *os.File // nil: closed, or it could not be opened
		size int64
		tail []byte
	}
}

// NewLog begins a new file at path, to be appended to. It keeps what was there as path.1.
func NewLog(path string) (*os.File, error) {
	if err := os.Rename(path, path+".1"); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_TRUNC, 0o600)
}

// openOutput goes on with the file at path.
func openOutput(path string) (*output, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	o := &output{path: path}
	o.mu.file = file
	if info, err := file.Stat(); err == nil {
		o.mu.size = min(info.Size(), maxLog)
	}
	return o, nil
}

func (o *output) rotateLocked() error {
	o.closeLocked()
	file, err := NewLog(o.path)
	if err != nil {
		return err
	}
	o.mu.file, o.mu.size = file, 0
	return nil
}

func (o *output) closeLocked() {
	if o.mu.file != nil {
		_ = o.mu.file.Close() // what a log lost, nobody can mend
		o.mu.file = nil
	}
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.tail = append(o.mu.tail, p[max(0, len(p)-maxTail):]...)
	if over := len(o.mu.tail) - maxTail; over > 0 {
		o.mu.tail = append(o.mu.tail[:0], o.mu.tail[over:]...)
	}
	for rest := p; len(rest) > 0 && o.mu.file != nil; {
		part := rest[:min(int64(len(rest)), max(maxLog-o.mu.size, 0))]
		if n, err := o.mu.file.Write(part); err != nil {
			o.mu.size += int64(n)
			break // the disk is full, say; later writes try again
		}
		o.mu.size += int64(len(part))
		if rest = rest[len(part):]; o.mu.size >= maxLog && o.rotateLocked() != nil {
			break
		}
	}
	return len(p), nil
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closeLocked()
}

// last gives the last whole lines, joined for one message; empty: the process said nothing.
func (o *output) last() string {
	o.mu.Lock()
	tail := string(o.mu.tail)
	o.mu.Unlock()
	if over := len(tail) - maxTold; over > 0 {
		tail = tail[over:]
		if i := strings.IndexByte(tail, '\n'); i >= 0 && i < len(tail)-1 {
			tail = tail[i+1:]
		}
	}
	var told []string
	for line := range strings.Lines(tail) {
		if line = strings.TrimSpace(strings.ToValidUTF8(line, "?")); line != "" {
			told = append(told, line)
		}
	}
	return strings.Join(told, " | ")
}
