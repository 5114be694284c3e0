package join

import (
	"context"
	"errors"
	"slices"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// signer opens the authority's key, if this node may and its state is current.
func (s *Server) signer(ctx context.Context) (*pki.Authority, error) {
	sealed, ok := s.cfg.State.Secret(s.cfg.SecretName)
	if !ok || !pki.SealedTo(sealed, s.cfg.Self) {
		return nil, spec.Errorf(spec.CodeNotReady, "Node %s cannot sign certificates.", s.cfg.Self)
	}
	if err := s.cfg.Barrier(ctx); err != nil {
		return nil, asSpec(err)
	}
	if sealed, ok = s.cfg.State.Secret(s.cfg.SecretName); !ok {
		return nil, spec.Errorf(spec.CodeInternal, "The authority's key is gone.")
	}
	key, err := s.cfg.Identity.OpenSecret(sealed, s.cfg.Self)
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeNotReady, Message: "Node " + string(s.cfg.Self) + " cannot open the authority's key.", Err: err}
	}
	defer clear(key)
	authority, err := pki.ParseAuthority(sealed.GetPublic(), key, s.cfg.Clock)
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInternal, Message: "The authority's key is damaged.", Err: err}
	}
	return authority, nil
}

// seal makes the authority's key one that the voter can open: anew if renew is
// set, else unless it can already. Removed nodes' wraps go on that occasion.
func (s *Server) seal(ctx context.Context, voter spec.NodeID, public []byte, renew bool) error {
	for range attempts {
		sealed, ok := s.cfg.State.Secret(s.cfg.SecretName)
		if !ok {
			return spec.Errorf(spec.CodeInternal, "The authority's key is gone.")
		}
		if !renew && pki.SealedTo(sealed, voter) {
			return nil
		}
		next, err := s.cfg.Identity.AddRecipient(pki.RemoveRecipients(sealed, s.removed()...), s.cfg.Self, voter, public)
		if err != nil {
			return &spec.Error{Code: spec.CodeInternal, Message: "The authority's key could not be sealed to node " + string(voter) + ".", Err: err}
		}
		_, err = s.propose(ctx, "", &wire.Command{Body: &wire.Command_PutSecret{PutSecret: &wire.PutSecret{Secret: next, ExpectVersion: sealed.GetVersion()}}})
		if spec.CodeOf(err) != spec.CodeConflict { // nil has not that code either
			return err
		}
		if err := s.cfg.Barrier(ctx); err != nil {
			return asSpec(err)
		}
	}
	return spec.Errorf(spec.CodeConflict, "Others seal the authority's key at the same time.")
}

func (s *Server) removed() []spec.NodeID {
	var out []spec.NodeID
	for _, n := range s.cfg.State.Nodes() {
		if n.GetState() == wire.NodeState_NODE_STATE_REMOVED && spec.NodeID(n.GetId()) != s.cfg.Self {
			out = append(out, spec.NodeID(n.GetId()))
		}
	}
	return out
}

// forward asks the other voters, in turn, to take the applicant in.
func (s *Server) forward(ctx context.Context, req *wire.JoinRequest) *wire.JoinResponse {
	own, err := pki.Verify(s.cfg.Identity.Leaf(), s.cfg.Identity.Authority(), s.cfg.Clock())
	if err != nil || !own.Has(spec.RoleVoter) {
		return refusal(spec.Errorf(spec.CodeForbidden, "Node %s is no voter: it takes nobody in.", s.cfg.Self))
	}
	last := spec.Errorf(spec.CodeNoLeader, "No voter that can sign certificates is known here.")
	for _, voter := range s.cfg.Voters() {
		resp, err := post(ctx, s.cfg.Client("state"), "http://"+string(voter)+"/join-forward", req)
		if err != nil {
			s.cfg.Log.Warn("a voter did not answer for a node that joins", "voter", voter, "error", err)
			last = &spec.Error{Code: spec.CodeNoLeader, Message: "No voter that can sign certificates answers.", Err: err}
			continue
		}
		if !slices.Contains(elsewhere, spec.Code(resp.GetCode())) {
			return resp
		}
		last = spec.Errorf(spec.Code(resp.GetCode()), "%s", resp.GetMessage())
	}
	return refusal(last)
}

// elsewhere are the refusals after which another voter may do better.
var elsewhere = []spec.Code{spec.CodeNotReady, spec.CodeNoLeader, spec.CodeStaleState}

var errAnswer = errors.New("the answer cannot be read")
