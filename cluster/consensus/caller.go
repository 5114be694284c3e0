package consensus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// The protocol: the status says what came of it, StatusMisdirectedRequest that
// the node does not lead. An answer to /propose without hdrNothing may have
// changed something, unless it is OK.
const (
	hdrLeader  = "Lotabots-Leader"  // the leader that the node knows of
	hdrCode    = "Lotabots-Code"    // of a final refusal; its message is the body
	hdrNothing = "Lotabots-Nothing" // nothing was begun

	attemptTimeout = 2 * time.Second // of one call to a node that may hang
	maxAnswer      = 1 << 20
)

// caller asks other nodes.
type caller struct{ http *http.Client }

func newCaller(p Port) *caller { return &caller{http: p.Client("state")} }

// A notLeader is the answer of a node that does not lead.
type notLeader struct {
	node, leader spec.NodeID // leader is empty where the node knows none
}

func (e *notLeader) Error() string { return fmt.Sprintf("node %s does not lead", e.node) }

func (c *caller) propose(ctx context.Context, node spec.NodeID, raw []byte) (*wire.Result, error) {
	b, err := c.call(ctx, http.MethodPost, node, "/propose", raw)
	if err != nil {
		return nil, err
	}
	result := &wire.Result{}
	if err := proto.Unmarshal(b, result); err != nil {
		return nil, fmt.Errorf("%w: node %s answered what is no result: %w", errMaybe, node, err)
	}
	return result, nil
}

func (c *caller) readIndex(ctx context.Context, node spec.NodeID) (uint64, error) {
	b, err := c.call(ctx, http.MethodGet, node, "/read-index", nil)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}

// standing is what a node says of the group.
type standing struct {
	Leader  spec.NodeID   `json:"leader"`
	Term    uint64        `json:"term"`
	Servers []spec.NodeID `json:"servers"`
	Voters  []spec.NodeID `json:"voters"` // of the servers
}

func (c *caller) leader(ctx context.Context, node spec.NodeID) (standing, error) {
	var s standing
	b, err := c.call(ctx, http.MethodGet, node, "/leader", nil)
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

// call makes one request. Its error wraps errMaybe where a write may have begun.
func (c *caller) call(ctx context.Context, method string, node spec.NodeID, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	r, err := http.NewRequestWithContext(traced, method, "http://"+string(node)+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		if !sent.Load() {
			return nil, fmt.Errorf("node %s was not reached: %w", node, err)
		}
		return nil, fmt.Errorf("%w: node %s: %w", errMaybe, node, err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch h := answer.Header; {
	case answer.StatusCode == http.StatusMisdirectedRequest:
		return nil, &notLeader{node: node, leader: spec.NodeID(h.Get(hdrLeader))}
	case answer.StatusCode != http.StatusOK && h.Get(hdrCode) != "":
		return nil, final(spec.Errorf(spec.Code(h.Get(hdrCode)), "%s", strings.TrimSpace(string(b))))
	case answer.StatusCode != http.StatusOK && (h.Get(hdrNothing) != "" || answer.StatusCode == http.StatusNotFound):
		return nil, fmt.Errorf("node %s: %s", node, strings.TrimSpace(string(b)))
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: node %s: %s: %s", errMaybe, node, answer.Status, strings.TrimSpace(string(b)))
	case err != nil:
		return nil, fmt.Errorf("%w: node %s: %w", errMaybe, node, err)
	}
	return b, nil
}
