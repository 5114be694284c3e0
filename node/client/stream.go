package client

import (
	"context"
	"net/http"
)

// Open sends a GET and returns the answer, whose body is the caller's to read and
// close, from the first endpoint that gives one; see Do.
func (c *Client) Open(ctx context.Context, path string) (*http.Response, error) {
	last := errNoEndpoint
	for _, endpoint := range c.endpoints {
		answer, err := c.Send(ctx, endpoint, http.MethodGet, path, nil)
		if err == nil {
			return answer, nil
		}
		last = err
		if ctx.Err() != nil || !elsewhere(http.MethodGet, err) {
			break
		}
	}
	return nil, last
}
