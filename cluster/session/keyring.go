package session

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// publishedFor is how long a key is known before it signs: a gateway that is
// behind by less never meets a token whose key it has not heard of.
const publishedFor = time.Minute

// A heldKey is one key of the sealed secret. Its seed makes the Ed25519 key, and
// by HKDF all that a Server seals and derives.
type heldKey struct {
	ID         string `json:"kid"`
	Seed       []byte `json:"seed"`
	CreatedMS  int64  `json:"created_ms"`
	NotAfterMS int64  `json:"not_after_ms"` // as spec.SigningKey's; 0: the newest
}

func (k *heldKey) private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.Seed) }

func (k *heldKey) inForce(now time.Time) bool {
	return k.NotAfterMS == 0 || now.UnixMilli() < k.NotAfterMS
}

// A keyring is the secret in clear, oldest key first. It is immutable.
type keyring struct {
	version uint64 // of the record
	keys    []heldKey
}

type keyringJSON struct {
	Keys []heldKey `json:"keys"`
}

var errKeyring = errors.New("the secret is no set of signing keys")

func parseKeyring(version uint64, plain []byte) (*keyring, error) {
	var in keyringJSON
	if err := json.Unmarshal(plain, &in); err != nil {
		return nil, errKeyring // json's own text may quote the secret
	}
	if len(in.Keys) == 0 {
		return nil, errKeyring
	}
	for _, k := range in.Keys {
		if k.ID == "" || len(k.Seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("%w: key %q", errKeyring, k.ID)
		}
	}
	return &keyring{version: version, keys: in.Keys}, nil
}

func (r *keyring) newest() *heldKey { return &r.keys[len(r.keys)-1] }

// signer is the key that signs at that time: the newest that has been known for
// long enough, else the oldest one in force.
func (r *keyring) signer(now time.Time) *heldKey {
	k := r.newest()
	for i := len(r.keys) - 1; i >= 0; i-- {
		if !r.keys[i].inForce(now) {
			continue
		}
		if k = &r.keys[i]; k.CreatedMS+publishedFor.Milliseconds() <= now.UnixMilli() {
			break
		}
	}
	return k
}

func (r *keyring) find(id string) (*heldKey, bool) {
	for i := range r.keys {
		if r.keys[i].ID == id {
			return &r.keys[i], true
		}
	}
	return nil, false
}

// encode returns the secret's plain text and its public part.
func (r *keyring) encode() (plain, public []byte, err error) {
	if plain, err = json.Marshal(keyringJSON{Keys: r.keys}); err != nil {
		return nil, nil, err
	}
	out := spec.SigningKeys{}
	for i := range r.keys {
		k := &r.keys[i]
		out.Keys = append(out.Keys, spec.SigningKey{ID: k.ID, Public: k.private().Public().(ed25519.PublicKey), NotAfterMS: k.NotAfterMS})
	}
	public, err = json.Marshal(out)
	return plain, public, err
}

// without returns the keys that are in force.
func (r *keyring) without(now time.Time) *keyring {
	out := &keyring{version: r.version}
	for _, k := range r.keys {
		if k.inForce(now) {
			out.keys = append(out.keys, k)
		}
	}
	return out
}

// rotated returns the keys with a new one, where the ones before verify for life
// from the time at which the new one begins to sign, unless they end earlier.
func (r *keyring) rotated(now time.Time, life time.Duration) *keyring {
	end := now.Add(publishedFor + life).UnixMilli()
	out := r.without(now)
	for i := range out.keys {
		if k := &out.keys[i]; k.NotAfterMS == 0 || k.NotAfterMS > end {
			k.NotAfterMS = end
		}
	}
	out.keys = append(out.keys, newKey(now))
	return out
}

func newKey(now time.Time) heldKey {
	raw := make([]byte, ed25519.SeedSize+8)
	_, _ = rand.Read(raw) // never fails
	return heldKey{ID: hex.EncodeToString(raw[ed25519.SeedSize:]), Seed: raw[:ed25519.SeedSize:ed25519.SeedSize], CreatedMS: now.UnixMilli()}
}
