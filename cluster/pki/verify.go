package pki

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Subject is whom a certificate of the authority speaks for.
type Subject struct {
	ID      spec.NodeID
	Roles   []spec.Role
	Serial  string // hex
	Expired bool   // the certificate's time is over; all else is in order
}

// Has tells whether the certificate gives the node this role.
func (s Subject) Has(role spec.Role) bool {
	for _, r := range s.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// ErrUntrusted is wrapped by the errors of Verify.
var ErrUntrusted = errors.New("the certificate is not one of this cluster")

// Verify tells whom leaf speaks for, if the authority has signed it. An expired
// certificate is told by Subject.Expired and is no error: what it is still good
// for is for the caller to say. One whose time has not come yet is refused.
func Verify(leaf, authority *x509.Certificate, now time.Time) (Subject, error) {
	if leaf == nil || authority == nil {
		return Subject{}, fmt.Errorf("%w: there is none", ErrUntrusted)
	}
	at, expired := now, now.After(leaf.NotAfter)
	if expired {
		at = leaf.NotAfter
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return Subject{}, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	if _, ok := leaf.PublicKey.(ed25519.PublicKey); !ok || leaf.IsCA {
		return Subject{}, fmt.Errorf("%w: it is not of a node", ErrUntrusted)
	}
	s := Subject{ID: spec.NodeID(leaf.Subject.CommonName), Serial: leaf.SerialNumber.Text(16), Expired: expired}
	if err := s.ID.Valid(); err != nil {
		return Subject{}, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	for _, unit := range leaf.Subject.OrganizationalUnit {
		role := spec.Role(unit)
		if !spec.ValidRole(role) { // of a later version, say: the others hold
			continue
		}
		s.Roles = append(s.Roles, role)
	}
	if len(s.Roles) == 0 {
		return Subject{}, fmt.Errorf("%w: it gives node %s no role that is known", ErrUntrusted, s.ID)
	}
	return s, nil
}
