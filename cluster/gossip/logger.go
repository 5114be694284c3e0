package gossip

import (
	"context"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// newLogger makes memberlist's lines into records of l. Everybody who can send a
// packet can cause a line, so there are no more than some a second.
func newLogger(l *slog.Logger) *log.Logger {
	return log.New(&lines{log: l, now: time.Now}, "", 0)
}

// lines is a writer that gets one line at a time.
type lines struct {
	log *slog.Logger
	now func() time.Time

	mu struct {
		sync.Mutex
		second  time.Time // the present one began
		written int       // in the present second
		skipped int       // not told of yet
	}
}

// levels are one lower than memberlist's: what it calls an error is a lost
// packet or a peer that does not answer.
var levels = map[string]slog.Level{
	"DEBUG": slog.LevelDebug, "INFO": slog.LevelDebug, "WARN": slog.LevelInfo, "ERR": slog.LevelInfo, "ERROR": slog.LevelInfo,
}

func (w *lines) Write(p []byte) (int, error) {
	level, text := parseLine(string(p))
	if !w.log.Enabled(context.Background(), level) {
		return len(p), nil
	}
	ok, skipped := w.admit()
	if skipped > 0 {
		w.log.Info("lines about gossip were left out", "count", skipped)
	}
	if ok {
		w.log.Log(context.Background(), level, text, "area", "gossip")
	}
	return len(p), nil
}

func (w *lines) admit() (ok bool, skipped int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := w.now(); now.Sub(w.mu.second) >= time.Second {
		skipped, w.mu.second, w.mu.written, w.mu.skipped = w.mu.skipped, now, 0, 0
	}
	if w.mu.written >= logLinesPerSecond {
		w.mu.skipped++
		return false, skipped
	}
	w.mu.written++
	return true, skipped
}

// parseLine takes "[LEVEL] memberlist: text" apart.
func parseLine(line string) (slog.Level, string) {
	line = strings.TrimSpace(line)
	level := slog.LevelDebug
	if rest, ok := strings.CutPrefix(line, "["); ok {
		if name, text, ok := strings.Cut(rest, "] "); ok {
			if l, known := levels[name]; known {
				level, line = l, text
			}
		}
	}
	return level, strings.TrimPrefix(line, "memberlist: ")
}
