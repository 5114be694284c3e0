package join

import (
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// grants says which roles a token of a role can give.
var grants = map[spec.Role][]spec.Role{
	spec.RoleVoter:   {spec.RoleVoter, spec.RoleWorker, spec.RoleGateway},
	spec.RoleWorker:  {spec.RoleWorker, spec.RoleGateway},
	spec.RoleGateway: {spec.RoleGateway},
}

// attempts bounds how often a step is tried again because somebody else wrote in between.
const attempts = 5

// An applicant is a request to join whose form is good.
type applicant struct {
	token  string
	secret []byte
	csr    []byte
	key    ed25519.PublicKey
	id     spec.NodeID
	roles  []spec.Role
	member *wire.Member
}

// examine checks the form of a request, and that its sender has the key.
func examine(req *wire.JoinRequest) (*applicant, error) {
	m := req.GetNode()
	a := &applicant{token: req.GetTokenId(), secret: req.GetTokenSecret(), csr: req.GetCsr(), id: spec.NodeID(m.GetId()), member: m}
	if err := a.id.Valid(); err != nil {
		return nil, invalid("id", err.Error())
	}
	for _, text := range m.GetRoles() {
		role := spec.Role(text)
		if !spec.ValidRole(role) || slices.Contains(a.roles, role) {
			return nil, invalid("roles", fmt.Sprintf("roles %v: want some of voter, worker and gateway, each once", m.GetRoles()))
		}
		a.roles = append(a.roles, role)
	}
	if len(a.roles) == 0 {
		return nil, invalid("roles", "a node has at least one role")
	}
	if len(m.GetSealKey()) != 32 {
		return nil, invalid("seal_key", "a sealing key has 32 bytes")
	}
	for field, text := range map[string]string{"region": m.GetRegion(), "zone": m.GetZone(), "build": m.GetBuild()} {
		if len(text) > 100 {
			return nil, invalid(field, "at most 100 bytes")
		}
	}
	if !address(m.GetClusterAddr()) {
		return nil, invalid("cluster_addr", "want host:port of the node's cluster port, as others reach it")
	}
	if m.GetApiAddr() != "" && !address(m.GetApiAddr()) {
		return nil, invalid("api_addr", "want host:port")
	}
	var err error
	if a.key, err = pki.RequestKey(a.csr); err != nil {
		return nil, invalid("csr", err.Error())
	}
	return a, nil
}

func address(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && host != "" && port != "" && len(s) <= 260 && !strings.ContainsAny(s, " \t\r\n/")
}

func invalid(param, message string) error {
	return &spec.Error{Code: spec.CodeInvalidRequest, Param: param, Message: "The request to join is not valid: " + param + ": " + message + "."}
}

// take takes the applicant in: all is written by the time it returns. Its errors
// are *spec.Error.
func (s *Server) take(ctx context.Context, authority *pki.Authority, req *wire.JoinRequest) (*wire.JoinResponse, error) {
	a, err := examine(req)
	if err != nil {
		return nil, err
	}
	if err := s.checkToken(a); err != nil {
		return nil, err
	}
	// Its record would hold the cluster's level down, and it could not follow the state.
	if needed := s.cfg.State.Needs(); uint64(a.member.GetLevel()) < needed {
		return nil, spec.Errorf(spec.CodeFeatureLevel, "Node %s runs a build that knows feature level %d, and this cluster's state needs %d: install a newer build, and join again under the same token.",
			a.id, a.member.GetLevel(), needed)
	}
	der, err := authority.Sign(a.csr, pki.SignRequest{ID: a.id, Roles: a.roles, TTL: s.cfg.TTL})
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInternal, Message: "The certificate could not be signed.", Err: err}
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInternal, Message: "The certificate could not be signed.", Err: err}
	}
	if err := s.enrol(ctx, a, leaf); err != nil {
		return nil, err
	}
	if slices.Contains(a.roles, spec.RoleVoter) { // anew each time: a wrap does not tell for which key it was made
		if err := s.seal(ctx, a.id, a.member.GetSealKey(), true); err != nil {
			return nil, err
		}
	}
	return &wire.JoinResponse{
		Certificate: der, Authority: authority.Cert.Raw, ClusterId: s.cfg.Cluster, GossipKey: s.cfg.GossipKey, Members: s.members(),
	}, nil
}

// checkToken tells why the token does not give what is asked. Whether it is used
// up or too old is for the state to say when it is used.
func (s *Server) checkToken(a *applicant) error {
	t, ok := s.cfg.State.Token(a.token)
	if !ok || subtle.ConstantTimeCompare(t.GetHash(), pki.HashSecret(a.secret)) != 1 {
		return spec.Errorf(spec.CodeTokenInvalid, "The cluster knows no such join token.")
	}
	if t.GetRevokedMs() != 0 {
		return spec.Errorf(spec.CodeTokenRevoked, "The join token has been revoked.")
	}
	allowed := grants[spec.Role(t.GetRole())]
	for _, role := range a.roles {
		if !slices.Contains(allowed, role) {
			return &spec.Error{Code: spec.CodeForbidden, Param: "roles",
				Message: fmt.Sprintf("The join token is for the role %s: it does not give the role %s.", t.GetRole(), role),
				Hint:    "Ask for fewer roles, or for another token: lotabots tokens create --role " + string(role) + "."}
		}
	}
	return nil
}

// enrol uses the token and writes the node's record. Of two that want one id at
// the same time, the one whose record is written first has it.
func (s *Server) enrol(ctx context.Context, a *applicant, leaf *x509.Certificate) error {
	for range attempts {
		old, known := s.cfg.State.Node(string(a.id))
		inForce := known && old.GetState() != wire.NodeState_NODE_STATE_REMOVED
		same := inForce && pki.MarkOf(old.GetCertSerial()) == pki.Mark(a.key)
		if inForce && !same {
			return &spec.Error{Code: spec.CodeAlreadyExists, Param: "id",
				Message: fmt.Sprintf("Node id %s belongs to another machine of the cluster.", a.id),
				Hint:    "Choose another id, or remove that node first: lotabots node remove " + string(a.id) + "."}
		}
		again := same && slices.Equal(old.GetRoles(), a.member.GetRoles()) // the answer was lost
		if !again {
			if err := s.useToken(ctx, a, old); err != nil {
				return err
			}
		}
		record := s.record(a, leaf, old, again)
		result, err := s.propose(ctx, "join/node/"+string(a.id)+"/after/"+version(old), &wire.Command{Body: &wire.Command_PutNode{PutNode: &wire.PutNode{Node: record}}})
		if err != nil {
			return err
		}
		if !result.GetReplayed() {
			return nil
		}
		// That request was ours whose answer was lost, or another's that came first.
		if err := s.cfg.Barrier(ctx); err != nil {
			return asSpec(err)
		}
		if now, ok := s.cfg.State.Node(string(a.id)); ok && now.GetCertSerial() == record.GetCertSerial() {
			return nil
		}
	}
	return spec.Errorf(spec.CodeConflict, "Others write the record of node %s at the same time.", a.id)
}

// useToken spends one use, once for this key and what was known of the node.
func (s *Server) useToken(ctx context.Context, a *applicant, old *wire.Node) error {
	request := "join/token/" + a.token + "/" + string(a.id) + "/" + pki.Mark(a.key) + "/after/" + version(old)
	_, err := s.propose(ctx, request, &wire.Command{Body: &wire.Command_UseToken{UseToken: &wire.UseToken{Id: a.token, Node: string(a.id)}}})
	return err
}

// version names what is known of a node: it changes with each record that counts
// here. It makes request ids by which the second of two writers is told that it
// is the second.
func version(n *wire.Node) string {
	if n == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s/%d/%d", n.GetCertSerial(), n.GetJoinedMs(), n.GetState())
}

func (s *Server) record(a *applicant, leaf *x509.Certificate, old *wire.Node, again bool) *wire.Node {
	m := a.member
	n := &wire.Node{
		Id: string(a.id), Roles: m.GetRoles(), Region: m.GetRegion(), Zone: m.GetZone(), ClusterAddr: m.GetClusterAddr(), ApiAddr: m.GetApiAddr(),
		State: wire.NodeState_NODE_STATE_ACTIVE, CertSerial: leaf.SerialNumber.Text(16), CertExpiresMs: leaf.NotAfter.UnixMilli(),
		SealKey: m.GetSealKey(), Build: m.GetBuild(), Level: m.GetLevel(), JoinedMs: s.cfg.Clock().UnixMilli(),
	}
	if again {
		n.JoinedMs, n.State = old.GetJoinedMs(), wire.NodeState_NODE_STATE_UNSPECIFIED // as it is
	} else if old != nil && n.JoinedMs <= old.GetJoinedMs() {
		n.JoinedMs = old.GetJoinedMs() + 1 // this clock is behind; a removed node comes back by a later joining alone
	}
	return n
}

func (s *Server) members() []*wire.Member {
	var out []*wire.Member
	for _, n := range s.cfg.State.Nodes() {
		if n.GetState() == wire.NodeState_NODE_STATE_REMOVED {
			continue
		}
		out = append(out, &wire.Member{
			Id: n.GetId(), Roles: n.GetRoles(), Region: n.GetRegion(), Zone: n.GetZone(), ClusterAddr: n.GetClusterAddr(),
			ApiAddr: n.GetApiAddr(), SealKey: n.GetSealKey(), Build: n.GetBuild(), Level: n.GetLevel(),
		})
	}
	return out
}

// propose writes by the server's clock, and makes a refusal of the state an error.
func (s *Server) propose(ctx context.Context, request string, c *wire.Command) (*wire.Result, error) {
	c.RequestId, c.AtMs, c.Principal = request, s.cfg.Clock().UnixMilli(), "join/"+string(s.cfg.Self)
	result, err := s.cfg.Propose(ctx, c)
	if err != nil {
		return nil, asSpec(err)
	}
	if result.GetCode() != "" {
		return nil, &spec.Error{Code: spec.Code(result.GetCode()), Message: sentence(result.GetMessage())}
	}
	return result, nil
}

func sentence(text string) string {
	if text == "" {
		return "The cluster refused it."
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

// asSpec makes sure that an error has a code for whoever reads it.
func asSpec(err error) error {
	var public *spec.Error
	if errors.As(err, &public) {
		return public
	}
	return &spec.Error{Code: spec.CodeNoLeader, Message: "The cluster cannot take a node in at present.", Err: err}
}

func refusal(err error) *wire.JoinResponse {
	var public *spec.Error
	if !errors.As(err, &public) {
		public = spec.Errorf(spec.CodeInternal, "The node could not be taken in.")
	}
	return &wire.JoinResponse{Code: string(public.Code), Message: strings.ToValidUTF8(public.Message, "?")}
}
