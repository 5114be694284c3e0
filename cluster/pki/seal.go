package pki

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A sealed value is encrypted once, by AES-256-GCM under a random data key with
// the value's name as associated data. The data key is wrapped for each
// recipient by HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM), bound to the
// names of the value and of the recipient, so that no wrap serves for another.
const dataKeyBytes = 32

// ErrNotRecipient is wrapped where a sealed value was not sealed to this node.
var ErrNotRecipient = errors.New("the secret is not sealed to this node")

// Seal makes plaintext a secret that only the recipients (X25519 public keys by
// node id) can open.
func Seal(name string, plaintext []byte, recipients map[string][]byte) (*wire.Secret, error) {
	dataKey := make([]byte, dataKeyBytes)
	_, _ = rand.Read(dataKey) // never fails
	aead, err := payloadCipher(dataKey)
	if err != nil {
		return nil, err
	}
	s := &wire.Secret{Name: name, Nonce: make([]byte, aead.NonceSize())}
	_, _ = rand.Read(s.Nonce)
	s.Ciphertext = aead.Seal(nil, s.Nonce, plaintext, payloadContext(name))
	for _, node := range sortedKeys(recipients) {
		w, err := wrap(dataKey, name, node, recipients[node])
		if err != nil {
			return nil, err
		}
		s.Wrapped = append(s.Wrapped, w)
	}
	return s, nil
}

// OpenSecret opens a secret that was sealed to this identity's key as that of node.
func (i *Identity) OpenSecret(s *wire.Secret, node spec.NodeID) ([]byte, error) {
	dataKey, err := i.dataKey(s, node)
	if err != nil {
		return nil, err
	}
	aead, err := payloadCipher(dataKey)
	if err != nil {
		return nil, err
	}
	if len(s.GetNonce()) != aead.NonceSize() {
		return nil, fmt.Errorf("secret %s is damaged: a nonce of %d bytes", s.GetName(), len(s.GetNonce()))
	}
	plain, err := aead.Open(nil, s.GetNonce(), s.GetCiphertext(), payloadContext(s.GetName()))
	if err != nil {
		return nil, fmt.Errorf("secret %s is damaged: %w", s.GetName(), err)
	}
	return plain, nil
}

// AddRecipient returns a copy of the secret that recipient can open too, with its
// X25519 public key. self, whose identity this is, must be able to open it. A
// wrap that the recipient had is replaced.
func (i *Identity) AddRecipient(s *wire.Secret, self, recipient spec.NodeID, public []byte) (*wire.Secret, error) {
	dataKey, err := i.dataKey(s, self)
	if err != nil {
		return nil, err
	}
	w, err := wrap(dataKey, s.GetName(), string(recipient), public)
	if err != nil {
		return nil, err
	}
	out := RemoveRecipients(s, recipient)
	out.Wrapped = append(out.Wrapped, w)
	return out, nil
}

// RemoveRecipients returns a copy of the secret without the wraps of the nodes.
// Who has kept the old record can open that one still.
func RemoveRecipients(s *wire.Secret, nodes ...spec.NodeID) *wire.Secret {
	out := proto.CloneOf(s)
	out.Wrapped = slices.DeleteFunc(out.Wrapped, func(w *wire.WrappedKey) bool {
		return slices.Contains(nodes, spec.NodeID(w.GetNode()))
	})
	return out
}

// SealedTo tells whether the secret has a wrap for node.
func SealedTo(s *wire.Secret, node spec.NodeID) bool {
	for _, w := range s.GetWrapped() {
		if w.GetNode() == string(node) {
			return true
		}
	}
	return false
}

// SealedToKey tells whether the secret has a wrap for node that its X25519 key
// public opens: one that the node had before it was set up anew does not count,
// nor does one of a build that did not note the key.
func SealedToKey(s *wire.Secret, node spec.NodeID, public []byte) bool {
	for _, w := range s.GetWrapped() {
		if w.GetNode() == string(node) {
			return len(public) != 0 && bytes.Equal(w.GetRecipient(), public)
		}
	}
	return false
}

func (i *Identity) dataKey(s *wire.Secret, node spec.NodeID) ([]byte, error) {
	for _, w := range s.GetWrapped() {
		if w.GetNode() != string(node) {
			continue
		}
		key, err := unwrap(i.seal, w, s.GetName())
		if err != nil {
			return nil, fmt.Errorf("%w: secret %s: %w", ErrNotRecipient, s.GetName(), err)
		}
		return key, nil
	}
	return nil, fmt.Errorf("%w: secret %s, node %s", ErrNotRecipient, s.GetName(), node)
}

func payloadCipher(key []byte) (cipher.AEAD, error) {
	if len(key) != dataKeyBytes {
		return nil, fmt.Errorf("a data key of %d bytes, want %d", len(key), dataKeyBytes)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func payloadContext(name string) []byte { return []byte("lotabots secret v1\x00" + name) }

func wrapContext(name, node string) []byte {
	return []byte("lotabots wrap v1\x00" + name + "\x00" + node)
}

func wrap(dataKey []byte, name, node string, public []byte) (*wire.WrappedKey, error) {
	to, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("the sealing key of node %s: %w", node, err)
	}
	ephemeral, sender, err := hpke.NewSender(to, hpke.HKDFSHA256(), hpke.AES256GCM(), wrapContext(name, node))
	if err != nil {
		return nil, fmt.Errorf("sealing %s to node %s: %w", name, node, err)
	}
	sealed, err := sender.Seal(nil, dataKey)
	if err != nil {
		return nil, fmt.Errorf("sealing %s to node %s: %w", name, node, err)
	}
	return &wire.WrappedKey{Node: node, Ephemeral: ephemeral, Ciphertext: sealed, Recipient: slices.Clone(public)}, nil
}

func unwrap(key *ecdh.PrivateKey, w *wire.WrappedKey, name string) ([]byte, error) {
	private, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return nil, err
	}
	r, err := hpke.NewRecipient(w.GetEphemeral(), private, hpke.HKDFSHA256(), hpke.AES256GCM(), wrapContext(name, w.GetNode()))
	if err != nil {
		return nil, err
	}
	return r.Open(nil, w.GetCiphertext())
}

func sortedKeys(m map[string][]byte) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
