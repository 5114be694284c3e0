package actors

import (
	"context"
	"log/slog"
)

// demoted passes the actor library's records on one level lower: it reports each
// connection as news and each peer that is away as an error, which are ordinary
// here.
type demoted struct{ slog.Handler }

func lower(l slog.Level) slog.Level { return l - (slog.LevelInfo - slog.LevelDebug) }

func (d demoted) Enabled(ctx context.Context, l slog.Level) bool {
	return d.Handler.Enabled(ctx, lower(l))
}

func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	return d.Handler.Handle(ctx, r)
}

func (d demoted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoted{d.Handler.WithAttrs(attrs)}
}
func (d demoted) WithGroup(name string) slog.Handler { return demoted{d.Handler.WithGroup(name)} }
