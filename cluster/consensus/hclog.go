package consensus

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// raftLog writes raft's lines to slog. Those that a dead peer causes several
// times a second are for debugging only: metrics and membership tell of it.
type raftLog struct {
	to      *slog.Logger
	name    string
	implied []any
}

var _ hclog.Logger = raftLog{}

func newRaftLog(l *slog.Logger) hclog.Logger { return raftLog{to: l, name: "raft"} }

var repeated = []string{
	"failed to heartbeat to", "failed to appendEntries to", "failed to contact", "failed to decode incoming command",
	"failed to make requestVote RPC", "failed to flush response", "unable to get address for server",
	"rejecting pre-vote request since we have a leader",
}

func (l raftLog) Log(level hclog.Level, msg string, args ...any) {
	to := l.level(level, msg)
	ctx := context.Background()
	if !l.to.Enabled(ctx, to) {
		return
	}
	attrs := append([]any{"part", l.name}, l.implied...)
	for _, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			a = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		attrs = append(attrs, a)
	}
	l.to.Log(ctx, to, msg, attrs...)
}

func (l raftLog) level(level hclog.Level, msg string) slog.Level {
	for _, r := range repeated {
		if strings.HasPrefix(msg, r) {
			return slog.LevelDebug
		}
	}
	switch level {
	case hclog.Error, hclog.Warn: // raft's errors are its peers' as often as its own
		return slog.LevelWarn
	case hclog.Info:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

func (l raftLog) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l raftLog) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l raftLog) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l raftLog) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l raftLog) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l raftLog) IsTrace() bool { return l.to.Enabled(context.Background(), slog.LevelDebug) }
func (l raftLog) IsDebug() bool { return l.to.Enabled(context.Background(), slog.LevelDebug) }
func (l raftLog) IsInfo() bool  { return l.to.Enabled(context.Background(), slog.LevelInfo) }
func (l raftLog) IsWarn() bool  { return l.to.Enabled(context.Background(), slog.LevelWarn) }
func (l raftLog) IsError() bool { return l.to.Enabled(context.Background(), slog.LevelWarn) }

func (l raftLog) ImpliedArgs() []any { return l.implied }
func (l raftLog) Name() string       { return l.name }

func (l raftLog) With(args ...any) hclog.Logger {
	l.implied = append(append([]any(nil), l.implied...), args...)
	return l
}

func (l raftLog) Named(name string) hclog.Logger {
	l.name += "." + name
	return l
}

func (l raftLog) ResetNamed(name string) hclog.Logger {
	l.name = name
	return l
}

func (l raftLog) SetLevel(hclog.Level)  {} // slog decides
func (l raftLog) GetLevel() hclog.Level { return hclog.NoLevel }

func (l raftLog) StandardLogger(o *hclog.StandardLoggerOptions) *log.Logger {
	return log.New(l.StandardWriter(o), "", 0)
}

func (l raftLog) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return lineWriter{l} }

type lineWriter struct{ to raftLog }

func (w lineWriter) Write(b []byte) (int, error) {
	w.to.Info(strings.TrimSpace(string(b)))
	return len(b), nil
}
