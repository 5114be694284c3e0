package auth

import (
	"bytes"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lotabots/lotabots/cluster/spec"
)

// maxToken bounds the text of an access token, in bytes.
const maxToken = 2048

// IsToken tells whether the text has the form of an access token: three parts
// of base64url between dots.
func IsToken(text []byte) bool {
	if len(text) > maxToken || bytes.Count(text, []byte{'.'}) != 2 {
		return false
	}
	for i, c := range text {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.' && i > 0 && text[i-1] != '.' && i < len(text)-1:
		default:
			return false
		}
	}
	return true
}

// A proven token is one whose signature and claims have been verified.
type proven struct {
	sum     [32]byte
	user    string
	session string
	epoch   uint64
	until   int64 // Unix ms: the token's end, or its key's
	signing *signing
}

type claims struct {
	jwt.RegisteredClaims
	Session string `json:"sid"`
	Epoch   uint64 `json:"epoch"`
}

var errNoKey = errors.New("no signing key of that name is in force")

// prove verifies a token's signature, issuer, audience and time.
func (s *signing) prove(text, audience string, now int64) (*proven, spec.Code) {
	if audience == "" || len(s.keys) == 0 {
		return nil, spec.CodeInvalidToken
	}
	var key signingKey
	var c claims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(spec.TokenIssuer),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return time.UnixMilli(now) }))
	_, err := parser.ParseWithClaims(text, &c, func(t *jwt.Token) (any, error) {
		name, _ := t.Header["kid"].(string)
		var ok bool
		if key, ok = s.find(name, now); !ok {
			return nil, errNoKey
		}
		return key.public, nil
	})
	switch {
	case err == nil && c.Subject != "" && c.Session != "":
	case errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenInvalidIssuer) && !errors.Is(err, jwt.ErrTokenInvalidAudience):
		return nil, spec.CodeExpiredToken
	default:
		return nil, spec.CodeInvalidToken
	}
	until := c.ExpiresAt.UnixMilli()
	if key.until != 0 {
		until = min(until, key.until)
	}
	return &proven{user: c.Subject, session: c.Session, epoch: c.Epoch, until: until, signing: s}, ""
}
