package infer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func (s *server) quota(w http.ResponseWriter, r *http.Request) {
	peer, ok := s.admit(w, r)
	if !ok {
		return
	}
	if s.cfg.Quota == nil {
		s.fail(w, spec.Errorf(spec.CodeNotFound, "This node owns no limits."))
		return
	}
	q, err := readQuota(r.Body)
	if err != nil {
		s.fail(w, err)
		return
	}
	grant, err := s.cfg.Quota(r.Context(), peer, q)
	if err == nil && grant == nil {
		err = spec.Errorf(spec.CodeInternal, "The limit's owner gave no answer.")
	}
	var raw []byte
	if err == nil {
		raw, err = proto.Marshal(grant)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set(hdrKind, kindQuota)
	_, _ = w.Write(raw)
}

// readQuota reads a request of at most MaxQuota bytes.
func readQuota(body io.Reader) (*wire.QuotaRequest, error) {
	raw, err := io.ReadAll(io.LimitReader(body, MaxQuota+1))
	q := &wire.QuotaRequest{}
	if err != nil || len(raw) > MaxQuota || proto.Unmarshal(raw, q) != nil {
		return nil, spec.Errorf(spec.CodeInvalidRequest, "The quota request could not be read.")
	}
	return q, nil
}

// Quota asks node for a share of a limit that it owns.
func (c *Client) Quota(ctx context.Context, node spec.NodeID, q *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	raw, err := proto.Marshal(q)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+string(node)+"/infer/quota", bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask node %s for quota: %w", node, err)
	}
	defer resp.Body.Close()
	switch resp.Header.Get(hdrKind) {
	case kindQuota:
	case kindRejected:
		return nil, rejection(resp.Header, time.Now())
	case kindError:
		return nil, failureError(resp.Body)
	default:
		return nil, unexpected(node, resp)
	}
	raw, err = io.ReadAll(io.LimitReader(resp.Body, maxGrant))
	if err != nil {
		return nil, fmt.Errorf("read quota of node %s: %w", node, err)
	}
	grant := new(wire.QuotaGrant)
	if err := proto.Unmarshal(raw, grant); err != nil {
		return nil, fmt.Errorf("read quota of node %s: %w", node, err)
	}
	return grant, nil
}

func unexpected(node spec.NodeID, resp *http.Response) error {
	return fmt.Errorf("node %s answered with HTTP status %d, which is no answer of infer", node, resp.StatusCode)
}
