package session

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	hashesAtOnce  = 2 // of 64 MiB each
	hashesWaiting = 16
	minPassword   = 12   // characters
	maxPassword   = 1024 // bytes
	saltBytes     = 16
	hashBytes     = 32
)

// costs are argon2id's parameters.
type costs struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// present are the costs of new passwords; others are brought to them at log-in.
var present = costs{memory: 64 << 10, passes: 3, threads: 1}

// A hasher hashes passwords, few at a time: each takes much memory, and logging
// in must not take the machine from those who infer.
type hasher struct {
	running chan struct{}
	queue   chan struct{} // running and waiting
	costs   costs         // of new ones
	metrics *metrics
}

func newHasher(m *metrics) *hasher {
	return &hasher{running: make(chan struct{}, hashesAtOnce), queue: make(chan struct{}, hashesAtOnce+hashesWaiting), costs: present, metrics: m}
}

// take waits for the right to hash; release gives it back.
func (h *hasher) take(ctx context.Context) (release func(), err error) {
	busy := &spec.Error{Code: spec.CodeBusy, Message: "Too many passwords are being checked at this moment.", Hint: "Retry in a second"}
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, busy
	}
	select {
	case h.running <- struct{}{}:
	case <-ctx.Done():
		<-h.queue
		return nil, busy
	}
	begin := time.Now()
	return func() {
		h.metrics.hashed(time.Since(begin))
		<-h.running
		<-h.queue
	}, nil
}

// hash returns the password in PHC's form.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	release, err := h.take(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	return phc{costs: h.costs, salt: salt, hash: h.costs.key(password, salt, hashBytes)}.text(), nil
}

// verify tells whether the password is the one kept, and whether it should be
// hashed anew. Where nothing is kept, or nothing that can be read, it takes as
// long as for a password that is wrong.
func (h *hasher) verify(ctx context.Context, kept, password string) (good, outdated bool, err error) {
	release, err := h.take(ctx)
	if err != nil {
		return false, false, err
	}
	defer release()
	p, ok := parsePHC(kept)
	if !ok {
		h.costs.key(password, make([]byte, saltBytes), hashBytes)
		return false, false, nil
	}
	got := p.costs.key(password, p.salt, uint32(len(p.hash)))
	return subtle.ConstantTimeCompare(got, p.hash) == 1, p.costs != h.costs, nil
}

func (c costs) key(password string, salt []byte, length uint32) []byte {
	return argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.threads, length)
}

// strong says why the password is no good one for the user of that name.
func strong(name, password string) error {
	switch {
	case !utf8.ValidString(password):
		return invalid("password", "The password is not valid UTF-8.")
	case len(password) > maxPassword:
		return invalid("password", fmt.Sprintf("The password is longer than %d bytes.", maxPassword))
	case utf8.RuneCountInString(password) < minPassword:
		return invalid("password", fmt.Sprintf("The password has fewer than %d characters.", minPassword))
	case strings.Count(password, password[:1]) == len(password):
		return invalid("password", "The password is one character again and again.")
	case name != "" && strings.EqualFold(strings.TrimSpace(password), name):
		return invalid("password", "The password is the user's name.")
	}
	return nil
}

// A phc is a password as the state keeps it:
// $argon2id$v=19$m=65536,t=3,p=1$SALT$HASH, in base64 without padding.
type phc struct {
	costs
	salt, hash []byte
}

func (p phc) text() string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.threads, b.EncodeToString(p.salt), b.EncodeToString(p.hash))
}

// Limits on the costs of what is kept, so that a record cannot stop the node.
const (
	maxMemory  = 256 << 10 // KiB
	maxPasses  = 16
	maxThreads = 16
)

func parsePHC(text string) (p phc, ok bool) {
	if len(text) > 1<<10 {
		return p, false
	}
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, false
	}
	numbers := strings.Split(parts[3], ",")
	if len(numbers) != 3 {
		return p, false
	}
	memory, ok1 := costOf(numbers[0], "m=", maxMemory)
	passes, ok2 := costOf(numbers[1], "t=", maxPasses)
	threads, ok3 := costOf(numbers[2], "p=", maxThreads)
	if !ok1 || !ok2 || !ok3 {
		return p, false
	}
	p.costs = costs{memory: memory, passes: passes, threads: uint8(threads)}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	p.hash, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	return p, err1 == nil && err2 == nil && len(p.salt) >= 8 && len(p.hash) >= 16 && p.memory >= 8*uint32(p.threads) && p.text() == text
}

func costOf(text, name string, most uint32) (uint32, bool) {
	digits, ok := strings.CutPrefix(text, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && n >= 1 && uint32(n) <= most
}
