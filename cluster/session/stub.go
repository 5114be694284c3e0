package session

import (
	"context"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

var errUnready = spec.Errorf(spec.CodeNotReady, "This build does not open sessions yet.")

func (s *Server) Login(ctx context.Context, r spec.Login) (*spec.Granted, error) {
	return nil, errUnready
}
func (s *Server) Refresh(ctx context.Context, r spec.Refresh) (*spec.Granted, error) {
	return nil, errUnready
}
func (s *Server) BeginSSO(ctx context.Context, r spec.SSOBegin) (*spec.SSOBegun, error) {
	return nil, errUnready
}
func (s *Server) FinishSSO(ctx context.Context, r spec.SSOFinish) (*spec.SSOFinished, error) {
	return nil, errUnready
}
func (s *Server) Exchange(ctx context.Context, r spec.Exchange) (*spec.Granted, error) {
	return nil, errUnready
}
func (s *Server) HashPassword(ctx context.Context, name, password string) (string, error) {
	return "", errUnready
}

// SealToVoters seals plain, the value of the named secret, to every voter among
// the nodes.
func SealToVoters(name string, plain []byte, nodes []*wire.Node) (*wire.Secret, error) {
	return nil, errUnready
}
