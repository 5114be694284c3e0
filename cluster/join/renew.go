package join

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// renew gives a member a new certificate for the key that it has. It gives no
// role that the present certificate has not: the record alone could have been
// written by a node that wants more.
func (s *Server) renew(w http.ResponseWriter, r *http.Request) {
	peer, roles, ok := s.cfg.Peer(r)
	if !ok {
		answer(w, refusal(spec.Errorf(spec.CodeForbidden, "Only a member's certificate can be renewed.")))
		return
	}
	req, err := readRequest(w, r)
	if err != nil {
		answer(w, refusal(err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	resp, err := s.renewFor(ctx, peer, roles, req)
	if err != nil {
		s.cfg.Log.Warn("a certificate was not renewed", "node", peer, "error", err)
		answer(w, refusal(err))
		return
	}
	s.cfg.Log.Info("a certificate was renewed", "node", peer)
	answer(w, resp)
}

func (s *Server) renewFor(ctx context.Context, id spec.NodeID, roles []spec.Role, req *wire.JoinRequest) (*wire.JoinResponse, error) {
	authority, err := s.signer(ctx)
	if err != nil {
		return nil, err
	}
	record, ok := s.cfg.State.Node(string(id))
	if !ok || record.GetState() == wire.NodeState_NODE_STATE_REMOVED {
		return nil, spec.Errorf(spec.CodeNodeRemoved, "Node %s is no member of the cluster.", id)
	}
	key, err := pki.RequestKey(req.GetCsr())
	if err != nil {
		return nil, invalid("csr", err.Error())
	}
	if pki.MarkOf(record.GetCertSerial()) != pki.Mark(key) {
		return nil, spec.Errorf(spec.CodeForbidden, "Node %s has another key: it has joined anew since.", id)
	}
	var kept []spec.Role
	for _, role := range roles {
		if slices.Contains(record.GetRoles(), string(role)) {
			kept = append(kept, role)
		}
	}
	if len(kept) == 0 {
		return nil, spec.Errorf(spec.CodeForbidden, "Node %s has none of the roles in its certificate any more.", id)
	}
	der, err := authority.Sign(req.GetCsr(), pki.SignRequest{ID: id, Roles: kept, TTL: s.cfg.TTL})
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInternal, Message: "The certificate could not be signed.", Err: err}
	}
	if err := s.noteRenewal(ctx, record, der); err != nil {
		return nil, err
	}
	if public := req.GetNode().GetSealKey(); len(public) != 0 && slices.Contains(kept, spec.RoleVoter) {
		if err := s.seal(ctx, id, public, false); err != nil {
			return nil, err
		}
	}
	return &wire.JoinResponse{Certificate: der, Authority: authority.Cert.Raw, ClusterId: s.cfg.Cluster}, nil
}

// noteRenewal writes the new certificate's number into the node's record. The
// state stays what it is, also if it changes meanwhile.
func (s *Server) noteRenewal(ctx context.Context, record *wire.Node, der []byte) error {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return &spec.Error{Code: spec.CodeInternal, Message: "The certificate could not be signed.", Err: err}
	}
	next := proto.CloneOf(record)
	next.State = wire.NodeState_NODE_STATE_UNSPECIFIED
	next.CertSerial, next.CertExpiresMs = leaf.SerialNumber.Text(16), leaf.NotAfter.UnixMilli()
	_, err = s.propose(ctx, "", &wire.Command{Body: &wire.Command_PutNode{PutNode: &wire.PutNode{Node: next}}})
	return err
}

// Renew gets the identity a new certificate from one of the voters, asked in
// turn by client (of the protocol state), and installs it.
func Renew(ctx context.Context, client *http.Client, voters []spec.NodeID, identity *pki.Identity) error {
	old, authority := identity.Leaf(), identity.Authority()
	if old == nil {
		return errors.New("there is no certificate to renew")
	}
	csr, err := identity.CSR()
	if err != nil {
		return fmt.Errorf("making a signing request: %w", err)
	}
	req := &wire.JoinRequest{Csr: csr, Node: &wire.Member{SealKey: identity.SealPublic()}}
	failed := []error{errors.New("no voter renewed the certificate")}
	for _, voter := range voters {
		resp, err := post(ctx, client, "http://"+string(voter)+"/renew", req)
		if err == nil && resp.GetCode() != "" {
			err = &spec.Error{Code: spec.Code(resp.GetCode()), Message: resp.GetMessage()}
		}
		if err == nil && !bytes.Equal(resp.GetAuthority(), authority.Raw) {
			err = errors.New("the answer is of another authority")
		}
		if err == nil {
			return identity.Install(resp.GetCertificate(), resp.GetAuthority())
		}
		failed = append(failed, fmt.Errorf("voter %s: %w", voter, err))
	}
	return errors.Join(failed...)
}
