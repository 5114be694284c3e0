package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// What is sealed goes out to a browser or a CLI and comes back to any voter.
const (
	purposeFlow = "sso flow"
	purposeCode = "one-time code"
)

// errSealed says that a text was not sealed by this cluster for the purpose, or
// that its key is gone.
var errSealed = errors.New("the text was not sealed by this cluster, or long ago")

// seal makes v a text that only the cluster's voters can read, and nobody can make.
func (r *keyring) seal(purpose string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	k := r.newest()
	aead, err := k.cipher(purpose)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	raw := aead.Seal(nonce, nonce, plain, []byte(k.ID))
	return k.ID + "." + base64.RawURLEncoding.EncodeToString(raw), nil
}

// open reads into v what seal made for the same purpose.
func (r *keyring) open(now time.Time, purpose, text string, v any) error {
	id, body, ok := strings.Cut(text, ".")
	if !ok {
		return errSealed
	}
	k, ok := r.find(id)
	if !ok || !k.inForce(now) {
		return errSealed
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return errSealed
	}
	aead, err := k.cipher(purpose)
	if err != nil {
		return err
	}
	if len(raw) < aead.NonceSize() {
		return errSealed
	}
	plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], []byte(k.ID))
	if err != nil {
		return errSealed
	}
	return json.Unmarshal(plain, v)
}

func (k *heldKey) cipher(purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.Seed, nil, "lotabots "+purpose+" v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
