package infer

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"
)

// maxOutbox bounds what waits to be sent on a line: who does not take it loses what is
// newer, and what it is about expires.
const maxOutbox = 256 << 10

// An outbox holds messages that are to be sent on a line, in order.
type outbox struct {
	wake  chan struct{}
	ended chan struct{}
	once  sync.Once
	mu    struct {
		sync.Mutex
		b []byte
	}
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1), ended: make(chan struct{})} }

// put has m sent; false: there is no room for it. It does not block.
func (o *outbox) put(m proto.Message) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.mu.b) > maxOutbox {
		return false
	}
	o.mu.b = appendMessage(o.mu.b, m)
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return true
}

// take waits for what is to be sent; nil: ctx or the outbox has ended.
func (o *outbox) take(ctx context.Context) []byte {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.ended:
			return nil
		case <-o.wake:
		}
		o.mu.Lock()
		b := o.mu.b
		o.mu.b = nil
		o.mu.Unlock()
		if len(b) > 0 {
			return b
		}
	}
}

// end has take return.
func (o *outbox) end() { o.once.Do(func() { close(o.ended) }) }
