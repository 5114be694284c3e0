package gateway

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/guard"
)

var bearer = []byte("Bearer ")

// headerAPIKey is where Anthropic's clients send their key.
const headerAPIKey = "X-Api-Key"

// key returns the key that the client sent, or nil.
func (r *request) key() []byte {
	h := r.field(&fieldAuthorization)
	if len(h) > len(bearer) && bytes.EqualFold(h[:len(bearer)], bearer) {
		return bytes.TrimSpace(h[len(bearer):])
	}
	return bytes.TrimSpace(r.field(&fieldAPIKey))
}

// identify finds out who asks, from where, and whether that may be with this
// credential.
func (r *request) identify() error {
	text := r.key()
	if len(text) == 0 {
		return &spec.Error{Code: spec.CodeMissingKey, Message: "The request has no API key and no access token.",
			Hint: "Send Authorization: Bearer KEY, or x-api-key: KEY, or log in first: lotabots login."}
	}
	began := time.Now()
	r.came = began
	now := began.UnixMilli()
	who, code := r.g.keys.Identify(text, now)
	if code == auth.CodeBehind {
		who, code = r.awaitSession(text)
	}
	if code != "" {
		return r.refuse(text, who, code)
	}
	if r.g.asOf.older(began, who.MaxAge(), r.g.cfg.State.Age) {
		return &spec.Error{Code: spec.CodeStaleState, Message: "This gateway has been cut off from the cluster's state for longer than the tenant allows."}
	}
	r.who = who
	if !who.AnyAddress() && !who.AddressAllowed(r.addr()) {
		r.failed("keys.use", "key:"+who.Key, who.Tenant, spec.CodeAddressForbidden)
		return &spec.Error{Code: spec.CodeAddressForbidden, Message: "The key may not be used from " + r.from() + "."}
	}
	if path := r.ctx.URI().PathOriginal(); !who.EndpointAllowed(path) {
		r.failed("keys.use", "key:"+who.Key, who.Tenant, spec.CodeEndpointForbidden)
		return &spec.Error{Code: spec.CodeEndpointForbidden, Message: "The key may not use " + clip(string(path), 100) + "."}
	}
	r.g.uses.used(who, now)
	return nil
}

// awaitSession gives this node's table the time to learn of a session that is new.
func (r *request) awaitSession(text []byte) (who *auth.Principal, code spec.Code) {
	r.g.await(catchUp, func() bool {
		who, code = r.g.keys.Identify(text, time.Now().UnixMilli())
		return code != auth.CodeBehind
	})
	if code == auth.CodeBehind {
		code = spec.CodeSessionEnded // and its record has been cleared away
	}
	return who, code
}

// refuse answers a credential that does not let in. One that does not fit counts
// against the address and the id in a key; what fits is never held back. who is whose
// it is, where it has proven that; else nil.
func (r *request) refuse(text []byte, who *auth.Principal, code spec.Code) error {
	e := &spec.Error{Code: code, Message: code.Lookup().Title}
	subjects, target, tenant := []string{guard.Address(r.addr())}, "session:?", ""
	if auth.IsToken(text) {
		if who != nil {
			target, tenant = "session:"+who.Session, who.Tenant
		}
	} else {
		target = "key:?"
		if parsed, ok := auth.Parse(text); ok {
			target = "key:" + string(parsed.ID)
			subjects = append(subjects, target)
			k, _ := r.g.cfg.State.Key(string(parsed.ID))
			tenant = k.GetTenant()
		} else {
			e.Hint = "It is not complete, or has a typo: its check characters do not fit. Compare it with the text shown when it was created."
		}
	}
	if code == spec.CodeExpiredToken { // every client's, now and then
		return e
	}
	r.failed("access.identify", target, tenant, code)
	if code != spec.CodeInvalidKey && code != spec.CodeInvalidToken {
		return e // who has the secret of what is not in force any more guesses nothing
	}
	count := r.g.guard.Failed
	if r.g.bad.Has(text) { // the same again is no guess: somebody's program has a key that is none any more
		count = r.g.guard.Held
	} else {
		r.g.bad.Put(text)
	}
	if held := count(subjects...); held > 0 {
		return r.tooMany(held)
	}
	return e
}

// countAgain is after what time a credential that was refused counts once more.
const countAgain = time.Minute

// maxRequestID bounds what is taken over from the client.
const maxRequestID = 128

// name takes over the client's id of the request, if it is sane, or makes one.
func (r *request) name() string {
	if h := r.field(&fieldRequestID); len(h) > 0 && len(h) <= maxRequestID && sane(h) {
		return string(h)
	}
	return newRequestID()
}

// newRequestID is a UUID of version 4, as some engines take no other: so theirs is the same as ours.
func newRequestID() string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], rand.Uint64()&^0xf000|0x4000)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()&^(3<<62)|2<<62)
	text := [36]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	hex.Encode(text[:], id[:4])
	hex.Encode(text[9:], id[4:6])
	hex.Encode(text[14:], id[6:8])
	hex.Encode(text[19:], id[8:10])
	hex.Encode(text[24:], id[10:])
	return string(text[:])
}

func sane(b []byte) bool {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}
