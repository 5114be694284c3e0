package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// renewBefore is how long before its end an access token is renewed: longer than
// a call takes to get there, and than clocks are apart.
const renewBefore = 30 * time.Second

// A savedSession is the session in a context file. Several processes may use it.
type savedSession struct{ path string }

// credential is what a call is made with: the session's access token, renewed
// where it is about to end, or the key.
func (c *Client) credential(ctx context.Context) (string, error) {
	if c.session == nil {
		return c.key, nil
	}
	return c.session.token(ctx, c.key, c.endpoints)
}

// token is a good access token, or key once somebody has logged out.
func (s *savedSession) token(ctx context.Context, key string, endpoints []string) (string, error) {
	saved, err := readContext(s.path)
	if err != nil {
		return "", err
	}
	if saved.Session == nil {
		return key, nil
	}
	if fresh(saved.Session, time.Now()) {
		return saved.Session.AccessToken, nil
	}
	unlock, err := lock(s.path + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	// Another process may have renewed it meanwhile: a refresh token is good once.
	if saved, err = readContext(s.path); err != nil {
		return "", err
	}
	if saved.Session == nil || fresh(saved.Session, time.Now()) {
		return first(accessOf(saved.Session), key), nil
	}
	granted, err := Refresh(ctx, saved.Session.RefreshToken, endpoints...)
	if err != nil {
		return "", err
	}
	saved.Session = granted
	return granted.AccessToken, WriteContext(s.path, saved)
}

func fresh(s *spec.Granted, now time.Time) bool {
	return now.Add(renewBefore).UnixMilli() < s.ExpiresMS
}

// Refresh asks for the next tokens of the session whose refresh token this is. It
// may be asked again for some seconds, and is answered the same.
func Refresh(ctx context.Context, token string, endpoints ...string) (*spec.Granted, error) {
	granted := &spec.Granted{}
	ask := map[string]string{"refresh_token": token}
	var lost error
	for range 2 { // the answer may have been lost on its way
		err := New("", endpoints...).Do(ctx, "POST", "/auth/v1/refresh", ask, granted)
		if err == nil {
			return granted, nil
		}
		var api *APIError
		if lost = err; errors.As(err, &api) || ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("renewing the session: %w", lost)
}

// SaveSession remembers the session for later commands; nil forgets it.
func SaveSession(endpoints []string, granted *spec.Granted) (path string, err error) {
	if path, err = contextPath(); err != nil {
		return "", err
	}
	saved, err := readContext(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	saved.Session = granted
	if len(endpoints) > 0 {
		if !sameEndpoints(saved.Endpoints, endpoints) {
			saved.Key = "" // another cluster's, for all that is known
		}
		saved.Endpoints = endpoints
	}
	if len(saved.Endpoints) == 0 {
		return path, nil // there is nothing to forget
	}
	return Save(saved)
}

// SavedSession is the session that is remembered; nil: there is none.
func SavedSession() *spec.Granted {
	path, err := contextPath()
	if err != nil {
		return nil
	}
	saved, err := readContext(path)
	if err != nil {
		return nil
	}
	return saved.Session
}

func sameEndpoints(a, b []string) bool {
	known := map[string]bool{}
	for _, e := range New("", a...).endpoints {
		known[e] = true
	}
	for _, e := range New("", b...).endpoints {
		if known[e] {
			return true
		}
	}
	return false
}

// lock holds the file at path for this process alone until unlock.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing ends the lock
}

func accessOf(s *spec.Granted) string {
	if s == nil {
		return ""
	}
	return s.AccessToken
}
