package infer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// Port gives HTTP clients whose host is a node's id.
type Port interface {
	Client(proto string) *http.Client
}

// ErrUnreached is wrapped by errors of Open after which nothing can have begun:
// the request never left this node. Errors of a cancelled call never wrap it.
var ErrUnreached = errors.New("the node could not be reached")

// A Client opens requests on other nodes.
type Client struct {
	http *http.Client
}

var (
	_ spec.Opener = (*Client)(nil)
	_ spec.Prober = (*Client)(nil)
)

// NewClient returns an Opener that asks other nodes through port.
func NewClient(port Port) *Client { return &Client{http: port.Client("infer")} }

var heads = pool.New("call-heads", func() *[]byte { b := make([]byte, 0, 1<<10); return &b })

// Open sends the call to target's node. Its errors are a *spec.Rejection, a
// *spec.Error of the serving node, one that wraps ErrUnreached, or another one,
// after which the request may have begun. body is not read after Open has failed
// or the stream is closed.
func (c *Client) Open(ctx context.Context, target spec.Target, call spec.Call, body []byte) (spec.Stream, error) {
	head := heads.Get()
	raw, err := appendCall((*head)[:0], callToWire(target, &call))
	if err != nil {
		heads.Put(head)
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Message: "The call cannot be sent: " + err.Error() + ".", Err: err}
	}
	*head = raw
	sent := &upload{head: head, body: body}
	resp, written, err := c.send(ctx, target.Node, &call, sent)
	if err != nil {
		sent.release()
		if !written && ctx.Err() == nil { // a cancelled call may be leaving at this moment
			return nil, fmt.Errorf("%w: node %s: %w", ErrUnreached, target.Node, err)
		}
		return nil, fmt.Errorf("node %s failed before it answered: %w", target.Node, err)
	}
	if resp.Header.Get(hdrKind) == kindStream {
		s, err := newStream(resp, sent)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", target.Node, err)
		}
		return s, nil
	}
	defer sent.release()
	defer resp.Body.Close()
	switch resp.Header.Get(hdrKind) {
	case kindRejected:
		return nil, rejection(resp.Header, time.Now())
	case kindError:
		return nil, failureError(resp.Body)
	default:
		return nil, unexpected(target.Node, resp)
	}
}

// Alive asks node whether it answers, over the connection that its streams share.
// Any answer will do, that of an older build too.
func (c *Client) Alive(ctx context.Context, node spec.NodeID) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(node)+"/infer/alive", nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: node %s: %w", ErrUnreached, node, err)
	}
	return resp.Body.Close()
}

// send makes the round trip and tells whether the request left this node.
func (c *Client) send(ctx context.Context, node spec.NodeID, call *spec.Call, sent *upload) (*http.Response, bool, error) {
	var written atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+string(node)+"/infer", sent)
	if err != nil {
		return nil, false, err
	}
	req.ContentLength = int64(len(*sent.head) + len(sent.body))
	if !call.Deadline.IsZero() {
		req.Header.Set(hdrRemaining, remainingText(time.Until(call.Deadline)))
	}
	resp, err := c.http.Do(req)
	return resp, written.Load(), err
}

// remainingText is what is left of a request's time in whole milliseconds, rounded up: the
// serving node is not to end it before the gateway would.
func remainingText(left time.Duration) string {
	return strconv.FormatInt(int64(max((left+time.Millisecond-1)/time.Millisecond, 0)), 10)
}

// An upload is the request's body. The transport may still be reading it when
// the answer is over, so release makes sure that it has stopped before the
// buffers go back to their owners.
type upload struct {
	mu   sync.Mutex
	head *[]byte
	body []byte
	at   int
	gone bool
}

var errReleased = errors.New("request was given up")

func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return 0, errReleased
	}
	head := *u.head
	n := 0
	if u.at < len(head) {
		n = copy(p, head[u.at:])
		u.at += n
	}
	if u.at >= len(head) {
		m := copy(p[n:], u.body[u.at-len(head):])
		n, u.at = n+m, u.at+m
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (u *upload) Close() error { return nil }

func (u *upload) release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return
	}
	u.gone = true
	if cap(*u.head) <= maxCall {
		heads.Put(u.head)
	}
	u.head, u.body = nil, nil
}
