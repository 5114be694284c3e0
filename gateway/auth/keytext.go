package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"hash/crc32"
)

// The text of a key is
//
//	lb-<id>-<secret><check>
//
// id is public (it names the record), secret has 160 random bits, check has six
// characters computed from both, so that a typo is told from an unknown key
// without a look-up. All three are of a-z and 2-7.
const (
	prefix    = "lb-"
	idLen     = 10 // of keys made here; 4 to maxID are accepted
	minID     = 4
	maxID     = 32
	secretLen = 32
	checkLen  = 6
)

const alphabet = "abcdefghijklmnopqrstuvwxyz234567"

var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// A Text is a parsed key. Its slices point into what was parsed.
type Text struct {
	ID     []byte
	Secret []byte
}

// NewText makes a key: its text, to be shown once, its id, and the hash to keep.
func NewText() (text, id string, hash [sha256.Size]byte) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	id = encoding.EncodeToString(raw[20:])[:idLen]
	secret := encoding.EncodeToString(raw[:20])
	return Format(id, secret), id, Hash([]byte(secret))
}

// Format joins id and secret to a key's text.
func Format(id, secret string) string {
	body := prefix + id + "-" + secret
	check := checkOf([]byte(body))
	return body + string(check[:])
}

// Hash is what the state keeps of a key: SHA-256 of the secret part.
func Hash(secret []byte) [sha256.Size]byte { return sha256.Sum256(secret) }

// Parse splits a key's text. ok is false if it is no key or its check
// characters do not fit. It allocates nothing.
func Parse(text []byte) (t Text, ok bool) {
	t, ok = split(text)
	return t, ok && t.sound(text)
}

// split says where id and secret stand in what has a key's shape, whatever its
// characters are.
func split(text []byte) (t Text, ok bool) {
	const around = len(prefix) + 1 + secretLen + checkLen
	if n := len(text) - around; n < minID || n > maxID || !hasPrefix(text) {
		return Text{}, false
	}
	secret := len(text) - checkLen - secretLen
	return Text{ID: text[len(prefix) : secret-1], Secret: text[secret : secret+secretLen]}, text[secret-1] == '-'
}

// sound tells whether text, of which t is the split, has no foreign character and
// the check characters that fit.
func (t Text) sound(text []byte) bool {
	body, check := text[:len(text)-checkLen], text[len(text)-checkLen:]
	return plain(t.ID) && plain(t.Secret) && fits(body, check)
}

func hasPrefix(text []byte) bool {
	return len(text) >= len(prefix) && string(text[:len(prefix)]) == prefix
}

// foreign is not 0 for characters that are none of the alphabet's.
var foreign = func() (t [256]byte) {
	for i := range t {
		t[i] = 1
	}
	for _, c := range []byte(alphabet) {
		t[c] = 0
	}
	return t
}()

// plain looks at every character whatever it finds: a branch for each costs more.
func plain(b []byte) bool {
	var bad byte
	for _, c := range b {
		bad |= foreign[c]
	}
	return bad == 0
}

func checkOf(body []byte) (out [checkLen]byte) {
	sum := crc32.ChecksumIEEE(body)
	for i := range out {
		out[i] = alphabet[sum>>(5*i)&31]
	}
	return out
}

// fits tells whether check is checkOf(body).
func fits(body, check []byte) bool {
	sum := crc32.ChecksumIEEE(body)
	var off byte
	for i, c := range check {
		off |= c ^ alphabet[sum>>(5*i)&31]
	}
	return off == 0 && len(check) == checkLen
}
