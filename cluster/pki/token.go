package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A join token's text is tokenPrefix and the base32 (lower case) of: a version
// byte, 5 bytes of id, 20 of secret, 32 of the authority's digest, and 4 that
// check the rest against typing errors.
const (
	tokenPrefix  = "lbj-"
	tokenVersion = 1
	idBytes      = 5
	secretBytes  = 20
	checkBytes   = 4
	tokenBytes   = 1 + idBytes + secretBytes + sha256.Size + checkBytes
	maxUses      = 1 << 20
)

var tokenText = base32.StdEncoding.WithPadding(base32.NoPadding)

// A Token is what a join token's text says.
type Token struct {
	ID     string // hex
	Secret []byte
	Pin    [sha256.Size]byte // SHA-256 of the authority's certificate (DER)
}

// NewToken makes a join token: its text, to be shown once, and the record to
// keep, which has only a hash of the secret.
func NewToken(role spec.Role, ttl time.Duration, uses int, authorityDER []byte, now func() time.Time) (string, *wire.JoinToken, error) {
	switch {
	case !spec.ValidRole(role):
		return "", nil, &spec.Error{Code: spec.CodeInvalidRequest, Param: "role", Message: "A join token's role is voter, worker or gateway."}
	case ttl <= 0:
		return "", nil, &spec.Error{Code: spec.CodeInvalidRequest, Param: "ttl", Message: "A join token must last longer than no time."}
	case uses < 1 || uses > maxUses:
		return "", nil, &spec.Error{Code: spec.CodeInvalidRequest, Param: "uses", Message: "A join token has 1 to 1048576 uses."}
	case len(authorityDER) == 0:
		return "", nil, errors.New("a join token needs the authority's certificate")
	}
	t := Token{Secret: make([]byte, secretBytes), Pin: sha256.Sum256(authorityDER)}
	id := make([]byte, idBytes)
	_, _ = rand.Read(id) // never fails
	_, _ = rand.Read(t.Secret)
	t.ID = hex.EncodeToString(id)
	record := &wire.JoinToken{
		Id: t.ID, Hash: HashSecret(t.Secret), Role: string(role), UsesLeft: uint32(uses),
		ExpiresMs: now().Add(ttl).UnixMilli(), CreatedMs: now().UnixMilli(),
	}
	return t.text(id), record, nil
}

// HashSecret is what the state keeps of a token's secret.
func HashSecret(secret []byte) []byte {
	sum := sha256.Sum256(secret)
	return sum[:]
}

func (t Token) text(id []byte) string {
	raw := append([]byte{tokenVersion}, id...)
	raw = append(raw, t.Secret...)
	raw = append(raw, t.Pin[:]...)
	raw = append(raw, check(raw)...)
	return tokenPrefix + strings.ToLower(tokenText.EncodeToString(raw))
}

func check(raw []byte) []byte {
	sum := sha256.Sum256(append([]byte(tokenPrefix), raw...))
	return sum[:checkBytes]
}

// ParseToken reads a join token's text; case and white space around it do not
// matter. Its errors are *spec.Error and tell what is wrong with the text.
func ParseToken(text string) (Token, error) {
	body, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(text)), tokenPrefix)
	if !ok {
		return Token{}, badToken("This is no join token: one begins with " + tokenPrefix + ".")
	}
	if want := tokenText.EncodedLen(tokenBytes); len(body) != want {
		return Token{}, badToken("The join token is cut short or has too much: it has not the length of one. Copy it whole.")
	}
	raw, err := tokenText.DecodeString(strings.ToUpper(body))
	if err != nil || len(raw) != tokenBytes { // line breaks decode to nothing
		return Token{}, badToken("The join token has a typing error: it contains a character that none has.")
	}
	rest, sum := raw[:tokenBytes-checkBytes], raw[tokenBytes-checkBytes:]
	if string(check(rest)) != string(sum) {
		return Token{}, badToken("The join token has a typing error: its check characters do not fit.")
	}
	if rest[0] != tokenVersion {
		return Token{}, badToken("The join token is of a later version of LotaBots. Upgrade this machine's.")
	}
	t := Token{ID: hex.EncodeToString(rest[1 : 1+idBytes]), Secret: rest[1+idBytes : 1+idBytes+secretBytes]}
	copy(t.Pin[:], rest[1+idBytes+secretBytes:])
	return t, nil
}

func badToken(message string) error {
	return &spec.Error{Code: spec.CodeTokenInvalid, Message: message}
}
