package gateway

import (
	"context"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Sessions opens and refreshes sessions. The errors are *spec.Errors.
type Sessions interface {
	Login(ctx context.Context, ask spec.Login) (*spec.Granted, error)
	Refresh(ctx context.Context, ask spec.Refresh) (*spec.Granted, error)
	BeginSSO(ctx context.Context, ask spec.SSOBegin) (*spec.SSOBegun, error)
	FinishSSO(ctx context.Context, ask spec.SSOFinish) (*spec.SSOFinished, error)
	Exchange(ctx context.Context, ask spec.Exchange) (*spec.Granted, error)
	// HashPassword checks that the password is fit for the user of that name and
	// returns what the state keeps of it, in PHC's form.
	HashPassword(ctx context.Context, name, password string) (string, error)
}
