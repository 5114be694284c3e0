package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"unsafe"

	"github.com/lotabots/lotabots/cluster/spec"
)

// CodeBehind says that a token is sound and its session is not known here: it
// may be so new that this node has not heard of it. Whoever asked may wait for
// the state and ask again; it is never told to a client.
const CodeBehind spec.Code = "session_not_known_here"

// Identify returns who has the key or the access token of that text. now is Unix
// milliseconds. A non-empty code says why nobody does; the principal comes with
// the codes for what is revoked, expired or disabled too, for the log. It keeps
// nothing of text.
func (t *Table) Identify(text []byte, now int64) (*Principal, spec.Code) {
	if !hasPrefix(text) && IsToken(text) {
		return t.IdentifyToken(text, now)
	}
	return t.IdentifyKey(text, now)
}

// IdentifyKey is Identify for API keys. It allocates nothing.
//
// A key among a million is in memory, which takes longer than SHA-256 does: so the
// memory is asked first, and while it is on its way the text is checked and hashed.
func (t *Table) IdentifyKey(text []byte, now int64) (*Principal, spec.Code) {
	parsed, ok := split(text)
	if !ok {
		return nil, spec.CodeInvalidKey
	}
	s := t.now.Load()
	id := hashOf(borrow(parsed.ID))
	l := s.keys.leaf(id)
	l.prefetch(id)
	if !parsed.sound(text) {
		return nil, spec.CodeInvalidKey
	}
	hash := Hash(parsed.Secret)
	k := l.probable(id)
	if k == nil || !same(&hash, &k.hash) && !(k.previous && s.wasGood(k.who, &hash, now)) {
		return nil, spec.CodeInvalidKey
	}
	return k.who, s.judge(k, now)
}

// wasGood tells whether the hash is of the secret before the last rotation, and
// that one is still good.
func (s *snapshot) wasGood(who *Principal, hash *[32]byte, now int64) bool {
	p := ref(s.previous, who.Key)
	return p != nil && same(hash, &p.hash) && now < p.until
}

// same compares two hashes in a time that does not depend on them: by words, as
// crypto/subtle does by bytes.
func same(a, b *[sha256.Size]byte) bool {
	var off uint64
	for i := 0; i < sha256.Size; i += 8 {
		off |= binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:])
	}
	return off == 0
}

func (s *snapshot) judge(k *key, now int64) spec.Code {
	switch {
	case k.revoked:
		return spec.CodeRevokedKey
	case k.expires != 0 && now >= k.expires:
		return spec.CodeExpiredKey
	case k.owned:
		if u := ref(s.users, k.who.User); u == nil || u.disabled {
			return spec.CodeRevokedKey
		}
	}
	return ""
}

// IdentifyToken is Identify for access tokens. One that has been proven before
// allocates nothing.
func (t *Table) IdentifyToken(text []byte, now int64) (*Principal, spec.Code) {
	if len(text) > maxToken {
		return nil, spec.CodeInvalidToken
	}
	s := t.now.Load()
	sum := sha256.Sum256(text)
	p := t.proven.get(&sum)
	if p == nil || p.signing != s.signing || now >= p.until {
		fresh, code := s.signing.prove(string(text), t.cluster, now)
		if code != "" {
			return nil, code
		}
		fresh.sum = sum
		t.proven.put(fresh, now)
		p = fresh
	}
	return t.inSession(s, p, now)
}

// inSession returns who the token's session is of, if it is in force.
func (t *Table) inSession(s *snapshot, p *proven, now int64) (*Principal, spec.Code) {
	in := ref(s.sessions, p.session)
	if p.epoch != s.epoch {
		return nil, spec.CodeSessionEnded
	}
	if in == nil {
		return nil, CodeBehind
	}
	u := ref(s.users, in.user)
	if in.user != p.user || u == nil || in.epoch != s.epoch {
		return nil, spec.CodeSessionEnded
	}
	who := in.who.Load()
	if who == nil || who.of != u {
		who = &Principal{Kind: OfSession, User: u.key, Session: in.key, Tenant: u.tenant, Name: u.name, table: t, of: u, scopes: nothing}
		in.who.Store(who)
	}
	switch {
	case u.disabled:
		return who, spec.CodeUserDisabled
	case in.revoked || now >= in.expires:
		return who, spec.CodeSessionEnded
	}
	return who, ""
}

// borrow reads bytes as a string for the time of one look-up, which keeps nothing.
func borrow(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
