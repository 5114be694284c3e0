package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
)

var (
	errNoCertificate = errors.New("this node has no certificate: it has not joined a cluster")
	errNoPeer        = errors.New("the peer sent no certificate")
)

// ServerTLS is the configuration of a server behind Splice: it lets in whom the
// port would let in. Each handshake is checked in full; none is resumed.
func (p *Port) ServerTLS(proto string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: serverProtos(proto), ClientAuth: tls.RequireAnyClientCert,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			from := hello.Conn.RemoteAddr().String()
			return p.serverTLS(proto, func(v vetted) { p.splices.identify(from, v) }), nil
		},
	}
}

func serverProtos(proto string) []string {
	if proto == protoActor {
		return []string{protoH2}
	}
	return []string{proto}
}

// serverTLS is for one connection; identified is told its peer once it is let in.
func (p *Port) serverTLS(proto string, identified func(vetted)) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: serverProtos(proto), SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.certificate() },
	}
	if proto == protoJoin {
		return c
	}
	c.ClientAuth = tls.RequireAnyClientCert // which one is good is for VerifyConnection to say
	c.VerifyConnection = func(s tls.ConnectionState) error {
		v, err := p.vet(s, proto, "")
		if err == nil && identified != nil {
			identified(v)
		}
		return err
	}
	return c
}

// ClientTLS is the configuration to dial a node's port with; with an empty id any
// member's certificate is good.
func (p *Port) ClientTLS(proto string, id spec.NodeID) *tls.Config {
	return p.clientTLS(proto, id, nil)
}

func (p *Port) clientTLS(proto string, id spec.NodeID, identified func(vetted)) *tls.Config {
	offer := []string{proto}
	if proto == protoActor {
		offer = append(offer, protoH2)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: offer,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.certificate() },
		// Names of hosts mean nothing here. VerifyConnection checks more than the
		// standard verification would: the authority, and whose certificate it is.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if want := serverProtos(proto)[0]; s.NegotiatedProtocol != want {
				return fmt.Errorf("%w %s", ErrNotServed, proto)
			}
			v, err := p.vet(s, proto, id)
			if err == nil && identified != nil {
				identified(v)
			}
			return err
		},
	}
}

func (p *Port) certificate() (*tls.Certificate, error) {
	if c := p.cfg.Identity.Certificate(); c != nil {
		return c, nil
	}
	return nil, errNoCertificate
}

// A vetted peer is one that was let in.
type vetted struct{ peer Peer }

// at is the peer as it is to be judged at that time.
func (v vetted) at(now time.Time) Peer {
	p := v.peer
	p.Expired = now.After(p.Until)
	return p
}

// vet tells who the peer is, if it is a member that is let in and, where id is
// not empty, that one.
func (p *Port) vet(s tls.ConnectionState, proto string, id spec.NodeID) (vetted, error) {
	if len(s.PeerCertificates) == 0 {
		return vetted{}, errNoPeer
	}
	leaf := s.PeerCertificates[0]
	subject, err := pki.Verify(leaf, p.cfg.Identity.Authority(), p.cfg.Clock())
	if err != nil {
		return vetted{}, err
	}
	peer := Peer{ID: subject.ID, Roles: subject.Roles, Serial: subject.Serial, Until: leaf.NotAfter, Expired: subject.Expired}
	if id != "" && peer.ID != id {
		return vetted{}, fmt.Errorf("the certificate there is node %s's, not node %s's", peer.ID, id)
	}
	if err := p.admit(peer, proto); err != nil {
		return vetted{}, fmt.Errorf("node %s is not let in: %w", peer.ID, err)
	}
	return vetted{peer}, nil
}

func (p *Port) admit(peer Peer, proto string) error {
	if p.cfg.Admit == nil {
		return nil
	}
	return p.cfg.Admit(peer, proto)
}
