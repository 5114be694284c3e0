package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// A Client calls the API of one cluster.
type Client struct {
	endpoints []string
	key       string
	http      *http.Client
}

// New returns a client that tries endpoints in order. A key may be empty.
func New(key string, endpoints ...string) *Client {
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, MaxIdleConnsPerHost: 4}
	return &Client{endpoints: endpoints, key: key, http: &http.Client{Transport: transport}}
}

// Endpoint is the one that is tried first.
func (c *Client) Endpoint() string { return c.endpoints[0] }

// An APIError is an error answer.
type APIError struct {
	Status    int
	Code      string
	Message   string
	Hint      string
	RequestID string
}

func (e *APIError) Error() string {
	s := fmt.Sprintf("%s (%s, HTTP %d)", e.Message, e.Code, e.Status)
	if e.Hint != "" {
		s += "\n  what to do: " + e.Hint
	}
	if e.RequestID != "" {
		s += "\n  request id: " + e.RequestID
	}
	return s
}

// Do sends in (nil, an io.Reader, or a value for JSON) and decodes the answer
// into out (nil: dropped). An endpoint that refuses the connection, or that has
// no leader or drains, passes the call to the next; a reader is sent only once.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	body, once, err := encode(in)
	if err != nil {
		return err
	}
	var last error
	for _, endpoint := range c.endpoints {
		answer, err := c.Send(ctx, endpoint, method, path, body())
		if err == nil {
			defer answer.Body.Close()
			if out == nil {
				_, err = io.Copy(io.Discard, answer.Body)
				return err
			}
			return json.NewDecoder(answer.Body).Decode(out)
		}
		last = err
		if once || ctx.Err() != nil || !elsewhere(err) {
			break
		}
	}
	return last
}

// Send makes one call to one endpoint; an answer of 400 or more is an *APIError.
func (c *Client) Send(ctx context.Context, endpoint, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(endpoint, "/")+path, body)
	if err != nil {
		return nil, err
	}
	if c.key != "" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no answer from %s: %w", endpoint, err)
	}
	if answer.StatusCode >= 400 {
		defer answer.Body.Close()
		return nil, apiError(answer)
	}
	return answer, nil
}

func encode(in any) (body func() io.Reader, once bool, err error) {
	switch v := in.(type) {
	case nil:
		return func() io.Reader { return nil }, false, nil
	case io.Reader:
		return func() io.Reader { return v }, true, nil
	default:
		raw, err := json.Marshal(v)
		return func() io.Reader { return bytes.NewReader(raw) }, false, err
	}
}

func apiError(answer *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	var doc struct {
		Error struct {
			Code, Message, Hint string
			RequestID           string `json:"request_id"`
		}
	}
	e := &APIError{Status: answer.StatusCode, Code: "unknown", Message: strings.TrimSpace(string(raw)), RequestID: answer.Header.Get("X-Request-Id")}
	if json.Unmarshal(raw, &doc) == nil && doc.Error.Message != "" {
		e.Code, e.Message, e.Hint = doc.Error.Code, doc.Error.Message, doc.Error.Hint
	}
	return e
}

// elsewhere tells whether another node may do better.
func elsewhere(err error) bool {
	var api *APIError
	if errors.As(err, &api) {
		return api.Code == "no_leader" || api.Code == "node_draining" || api.Code == "state_too_old"
	}
	return true
}
