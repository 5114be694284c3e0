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
	"slices"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Client calls the API of one cluster.
type Client struct {
	endpoints []string
	key       string
	session   *savedSession // goes before the key; nil: there is none
	http      *http.Client
}

// New returns a client that tries endpoints in order; one without a scheme is
// http. A key may be empty.
func New(key string, endpoints ...string) *Client {
	var tidy []string
	for _, e := range endpoints {
		if e = strings.TrimRight(strings.TrimSpace(e), "/"); e == "" {
			continue
		}
		if !strings.Contains(e, "://") {
			e = "http://" + e
		}
		tidy = append(tidy, e)
	}
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, MaxIdleConnsPerHost: 4}
	return &Client{endpoints: tidy, key: key, http: &http.Client{Transport: transport}}
}

// Endpoint is the one that is tried first; empty if there is none.
func (c *Client) Endpoint() string { return first(c.endpoints...) }

// Endpoints are all that it tries, in order.
func (c *Client) Endpoints() []string { return slices.Clone(c.endpoints) }

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

var errNoEndpoint = errors.New("no endpoint of the cluster is known")

// Do sends in (nil, an io.Reader, or a value for JSON) and decodes the answer
// into out (nil: dropped). An endpoint that refuses the connection, or that has
// no leader or drains, passes the call to the next; a reader is sent only once.
// One that fails after it was reached passes it on too, unless it is a POST,
// which may have been carried out.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	body, once, err := encode(in)
	if err != nil {
		return err
	}
	last := errNoEndpoint
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
		if once || ctx.Err() != nil || !elsewhere(method, err) {
			break
		}
	}
	return last
}

// Send makes one call to one endpoint; an answer of 400 or more is an *APIError.
func (c *Client) Send(ctx context.Context, endpoint, method, path string, body io.Reader) (*http.Response, error) {
	return c.SendAs(ctx, endpoint, method, path, body, nil)
}

// SendAs is Send with more headers.
func (c *Client) SendAs(ctx context.Context, endpoint, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(endpoint, "/")+path, body)
	if err != nil {
		return nil, err
	}
	credential, err := c.credential(ctx)
	if err != nil {
		return nil, err
	}
	if credential != "" {
		request.Header.Set("Authorization", "Bearer "+credential)
	}
	request.Header.Set("User-Agent", "lotabots")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		request.Header[name] = values
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

// maxText bounds what is shown of an answer that is no error of ours, in bytes.
const maxText = 300

func apiError(answer *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	var doc struct {
		Error struct {
			Code, Message, Hint string
			RequestID           string `json:"request_id"`
		}
	}
	e := &APIError{Status: answer.StatusCode, Code: "unknown", RequestID: answer.Header.Get("X-Request-Id")}
	if json.Unmarshal(raw, &doc) == nil && doc.Error.Message != "" {
		e.Message, e.Hint = doc.Error.Message, doc.Error.Hint
		e.Code, e.RequestID = first(doc.Error.Code, e.Code), first(e.RequestID, doc.Error.RequestID)
		return e
	}
	text := strings.ToValidUTF8(strings.TrimSpace(string(raw[:min(len(raw), maxText)])), "?")
	e.Message = first(text, http.StatusText(answer.StatusCode), "the answer is empty")
	return e
}

// elsewhere tells whether another node may do better.
func elsewhere(method string, err error) bool {
	var api *APIError
	if errors.As(err, &api) {
		return slices.Contains([]spec.Code{spec.CodeNoLeader, spec.CodeDraining, spec.CodeStaleState, spec.CodeStateDiverged}, spec.Code(api.Code))
	}
	var dial *net.OpError
	return method != http.MethodPost || errors.As(err, &dial) && dial.Op == "dial"
}
