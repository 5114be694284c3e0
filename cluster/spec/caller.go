package spec

import "context"

// A Caller is who asked a gateway for something, for the audit trail.
type Caller struct {
	Principal string // key/ID, user/ID
	From      string // address
	Seen      uint64 // index of the state by which it was found to be allowed to
}

type callerKey struct{}

// WithCaller has what is done under the context be told as of that caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns who asked, where that is known.
func CallerOf(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
