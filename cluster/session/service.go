package session

import (
	"context"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Service opens and refreshes sessions: a Server itself, or a Client of one.
// Errors are *spec.Error.
type Service interface {
	Login(context.Context, spec.Login) (*spec.Granted, error)
	Refresh(context.Context, spec.Refresh) (*spec.Granted, error)
	BeginSSO(context.Context, spec.SSOBegin) (*spec.SSOBegun, error)
	FinishSSO(context.Context, spec.SSOFinish) (*spec.SSOFinished, error)
	Exchange(context.Context, spec.Exchange) (*spec.Granted, error)
	// HashPassword makes what the state keeps of a new password of the user named
	// name, or says why the password is too weak.
	HashPassword(ctx context.Context, name, password string) (string, error)
}

var (
	_ Service = (*Server)(nil)
	_ Service = (*Client)(nil)
)
