package join

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

const maxAnswer = 4 << 20 // members of a large cluster

// post sends a request and reads the answer, which may be a refusal.
func post(ctx context.Context, c *http.Client, url string, req *wire.JoinRequest) (*wire.JoinResponse, error) {
	raw, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	return do(ctx, c, http.MethodPost, url, raw)
}

func do(ctx context.Context, c *http.Client, method, url string, body []byte) (*wire.JoinResponse, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", contentType)
	resp, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	out := &wire.JoinResponse{}
	if resp.Header.Get("Content-Type") != contentType || proto.Unmarshal(raw, out) != nil {
		return nil, fmt.Errorf("%w: HTTP status %d", errAnswer, resp.StatusCode)
	}
	if resp.StatusCode != http.StatusOK && out.GetCode() == "" {
		return nil, fmt.Errorf("%w: HTTP status %d without a code", errAnswer, resp.StatusCode)
	}
	return out, nil
}
