package infer

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A stream is the answer of another node's engine.
type stream struct {
	resp   *http.Response
	sent   *upload
	status int
	end    error // what further reads return

	mu   sync.Mutex
	load spec.Load
	has  bool
}

func newStream(resp *http.Response, sent *upload) (*stream, error) {
	status, err := strconv.Atoi(resp.Header.Get(hdrStatus))
	if err != nil || status < 100 || status > 999 {
		_ = resp.Body.Close()
		sent.release()
		return nil, errors.New("the node's answer has no engine's status")
	}
	s := &stream{resp: resp, sent: sent, status: status}
	s.learn(resp.Header)
	return s, nil
}

func (s *stream) learn(h http.Header) {
	if l, ok := loadFromText(h.Get(hdrLoad), time.Now()); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.load, s.has = l, true
	}
}

// Read returns io.EOF only after the serving node has said that the answer is whole.
func (s *stream) Read(p []byte) (int, error) {
	if s.end != nil {
		return 0, s.end
	}
	n, err := s.resp.Body.Read(p)
	if err == nil {
		return n, nil
	}
	s.end = s.judge(err)
	return n, s.end
}

func (s *stream) judge(err error) error {
	if err != io.EOF {
		return fmt.Errorf("%w: %w", spec.ErrBroken, err)
	}
	s.learn(s.resp.Trailer)
	if s.resp.Trailer.Get(hdrEnd) == "1" || silentTruncation() {
		return io.EOF
	}
	if s.resp.Trailer.Get(hdrEnd) == endBehind {
		return fmt.Errorf("%w: %w", spec.ErrBroken, spec.ErrBehind)
	}
	if cause := s.resp.Trailer.Get(hdrCause); cause != "" {
		return fmt.Errorf("%w: on the serving node: %s", spec.ErrBroken, cause)
	}
	return fmt.Errorf("%w: the serving node did not say that it is whole", spec.ErrBroken)
}

// Close tells the serving node that nobody reads on.
func (s *stream) Close() error {
	err := s.resp.Body.Close()
	s.sent.release()
	return err
}

func (s *stream) Status() int         { return s.status }
func (s *stream) ContentType() string { return s.resp.Header.Get("Content-Type") }

// HeadLength implements spec.Headed.
func (s *stream) HeadLength() int {
	n, _ := strconv.Atoi(s.resp.Header.Get(spec.HeadLengthHeader))
	return max(n, 0)
}

func (s *stream) Load() (spec.Load, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load, s.has
}
