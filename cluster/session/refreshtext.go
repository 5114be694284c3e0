package session

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"hash/crc32"
	"strconv"
	"strings"
)

// The text of a refresh token is
//
//	lbr-<session>-<family>-<generation>-<secret><check>
//
// session is the id of the record; family (160 random bits) is shared by all
// tokens of the session, and secret (160 bits) is each one's own; check has six
// characters computed from the rest, so that a typo is told from a token that was
// used before. generation counts, in decimal; the rest is of a-z and 2-7.
const (
	refreshPrefix = "lbr-"
	idLen         = 16
	secretLen     = 32
	checkLen      = 6
	maxGeneration = 19 // digits
)

const alphabet = "abcdefghijklmnopqrstuvwxyz234567"

var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// A refreshToken is what a refresh token's text says.
type refreshToken struct {
	session    string
	family     string
	generation uint64 // from 1
	secret     string
}

func (t refreshToken) text() string {
	body := refreshPrefix + t.session + "-" + t.family + "-" + strconv.FormatUint(t.generation, 10) + "-" + t.secret
	return body + checkOf(body)
}

// parseRefresh reads a refresh token's text. ok is false if it is none or its
// check characters do not fit.
func parseRefresh(text string) (t refreshToken, ok bool) {
	if len(text) > len(refreshPrefix)+idLen+secretLen+maxGeneration+secretLen+checkLen+3 || len(text) < checkLen || !strings.HasPrefix(text, refreshPrefix) {
		return t, false
	}
	body, check := text[:len(text)-checkLen], text[len(text)-checkLen:]
	if checkOf(body) != check {
		return t, false
	}
	parts := strings.Split(body[len(refreshPrefix):], "-")
	if len(parts) != 4 || !plain(parts[0], idLen) || !plain(parts[1], secretLen) || !plain(parts[3], secretLen) {
		return t, false
	}
	generation, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil || generation == 0 || strconv.FormatUint(generation, 10) != parts[2] {
		return t, false
	}
	return refreshToken{session: parts[0], family: parts[1], generation: generation, secret: parts[3]}, true
}

// next is the token that this one is exchanged for. Every voter that holds the key
// derives the same: a retry is answered as the first was.
func (t refreshToken) next(k *heldKey) (refreshToken, error) {
	out := t
	out.generation++
	info := "lotabots refresh v1\x00" + t.session + "\x00" + strconv.FormatUint(out.generation, 10)
	raw, err := hkdf.Key(sha256.New, k.Seed, []byte(t.secret), info, 20)
	if err != nil {
		return out, err
	}
	out.secret = encoding.EncodeToString(raw)
	return out, nil
}

// hashOf is what the state keeps of a part of a refresh token.
func hashOf(part string) []byte {
	sum := sha256.Sum256([]byte(part))
	return sum[:]
}

// random returns that many characters of five random bits each.
func random(characters int) string {
	raw := make([]byte, encoding.DecodedLen(characters)+1)
	_, _ = rand.Read(raw) // never fails
	return encoding.EncodeToString(raw)[:characters]
}

func plain(s string, length int) bool {
	if len(s) != length {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

func checkOf(body string) string {
	var out [checkLen]byte
	sum := crc32.ChecksumIEEE([]byte(body))
	for i := range out {
		out[i] = alphabet[sum&31]
		sum >>= 5
	}
	return string(out[:])
}
