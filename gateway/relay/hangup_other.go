//go:build !linux

package relay

// hangups would have the kernel tell of clients that leave. Here the sweeps look.
type hangups struct{}

func newHangups() *hangups { return nil }

func (*hangups) run(func(*watch)) {}

func (*hangups) close() {}

func (*hangups) add(*watch) bool { return false }

func (*hangups) remove(*watch) {}
