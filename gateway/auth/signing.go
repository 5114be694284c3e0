package auth

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lotabots/lotabots/cluster/spec"
)

// signing is the keys that access tokens are signed with.
type signing struct {
	keys []signingKey
}

type signingKey struct {
	name   string
	public ed25519.PublicKey
	until  int64 // Unix ms; 0: for now without end
}

func (s *signing) find(name string, now int64) (signingKey, bool) {
	for _, k := range s.keys {
		if k.name == name && (k.until == 0 || now < k.until) {
			return k, true
		}
	}
	return signingKey{}, false
}

// parseSigning reads the public part of the secret spec.SessionSigningSecret.
func parseSigning(public []byte) (*signing, error) {
	out := new(signing)
	if len(public) == 0 {
		return out, nil
	}
	var told spec.SigningKeys
	if err := json.Unmarshal(public, &told); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	for _, k := range told.Keys {
		if k.ID == "" || len(k.Public) != ed25519.PublicKeySize {
			return nil, errors.New("signing keys: one has no name, or not 32 bytes")
		}
		out.keys = append(out.keys, signingKey{k.ID, k.Public, k.NotAfterMS})
	}
	return out, nil
}
