package actors

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A member is who a certificate says its owner is.
type member struct {
	id    spec.NodeID
	roles []spec.Role
}

// memberOf reads the leaf certificate, which the handshake has checked.
func memberOf(s tls.ConnectionState) (member, bool) {
	if len(s.PeerCertificates) == 0 {
		return member{}, false
	}
	subject := s.PeerCertificates[0].Subject
	m := member{id: spec.NodeID(subject.CommonName)}
	for _, unit := range subject.OrganizationalUnit {
		m.roles = append(m.roles, spec.Role(unit))
	}
	return m, m.id.Valid() == nil
}

// memberCredentials dial members: the node behind an address must be the one that
// the book expects there. Each handshake asks for the configuration anew.
type memberCredentials struct {
	config func() *tls.Config
	book   *book
}

var _ credentials.TransportCredentials = memberCredentials{}

func (m memberCredentials) ClientHandshake(ctx context.Context, address string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	expected, ok := m.book.expected(address)
	if !ok {
		return nil, nil, fmt.Errorf("no member is known at %s", address)
	}
	conn, info, err := credentials.NewTLS(m.config()).ClientHandshake(ctx, address, raw)
	if err != nil {
		return nil, nil, err
	}
	secured, ok := info.(credentials.TLSInfo)
	if !ok {
		_ = conn.Close()
		return nil, nil, errors.New("the connection has no certificate")
	}
	if got, ok := memberOf(secured.State); !ok || got.id != expected {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("at %s answers node %q, not %q", address, got.id, expected)
	}
	return conn, info, nil
}

func (memberCredentials) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials only dial")
}

func (memberCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (m memberCredentials) Clone() credentials.TransportCredentials { return m }
func (memberCredentials) OverrideServerName(string) error           { return nil }
