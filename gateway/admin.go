package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// HeaderIdempotency makes a write that is sent twice happen once. Under the
// same header another write is another: it is not answered by the first.
const HeaderIdempotency = "Idempotency-Key"

const adminTimeout = 30 * time.Second // of an operation but imports

// await waits for ok, at most limit.
func (g *Gateway) await(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) || g.work.Err() != nil {
			return ok()
		}
	}
	return true
}

// operate gives an operation its time, and tells for whom it is.
func (r *request) operate() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.asked(), adminTimeout)
}

func (r *request) asked() context.Context {
	if r.who == nil {
		return r.g.work
	}
	return spec.WithCaller(r.g.work, spec.Caller{Principal: r.who.Actor(), From: r.from(), Seen: r.decided})
}

// propose writes c and waits until this node's tables have it too, so that what
// the client reads or uses here next is no older.
func (r *request) propose(c *wire.Command) (*wire.Result, error) {
	ctx, cancel := r.operate()
	defer cancel()
	id, err := r.idempotency()
	if err != nil {
		return nil, err
	}
	if r.command++; r.command > 1 { // what one request writes besides
		id += "/" + strconv.Itoa(r.command)
	}
	c.RequestId, c.AtMs, c.Principal, c.From, c.Seen = r.attempted(id), time.Now().UnixMilli(), r.who.Actor(), r.from(), r.decided
	res, err := r.g.cfg.Proposer.Propose(ctx, c)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
			return nil, &spec.Error{Code: spec.CodeOutcomeUnknown, Message: "The write was sent and not acknowledged in time.", Err: err}
		}
		return nil, err
	}
	if res.GetCode() != "" {
		return nil, r.refused(res)
	}
	r.decided = max(r.decided, res.GetIndex()) // nothing was lost up to there, but by this write
	r.g.await(catchUp, func() bool { return r.g.seen.Load() >= res.GetIndex() })
	r.ctx.Response.Header.Set(HeaderStateIndex, itoa(int64(max(res.GetIndex(), r.g.cfg.State.Index()))))
	return res, nil
}

// idempotency is the request's id as a write: the client's within its own key or
// user and for this very write, or a new one.
func (r *request) idempotency() (string, error) {
	if r.write != "" {
		return r.write, nil
	}
	id, err := r.newWrite()
	r.write = id
	return id, err
}

func (r *request) newWrite() (string, error) {
	sent := r.ctx.Request.Header.Peek(HeaderIdempotency)
	if len(sent) == 0 {
		return "gw/" + rand.Text(), nil
	}
	if len(sent) > maxRequestID || !sane(sent) {
		return "", &spec.Error{Code: spec.CodeInvalidRequest, Param: HeaderIdempotency,
			Message: "Idempotency-Key must be 1 to 128 of letters, digits, '-', '_', '.' and ':'."}
	}
	sum := sha256.New()
	for _, part := range [][]byte{r.ctx.Method(), r.ctx.URI().PathOriginal(), r.counts} {
		_, _ = sum.Write(binary.AppendUvarint(nil, uint64(len(part))))
		_, _ = sum.Write(part)
	}
	id := r.who.Actor() + "/" + string(sent) + "/" + hex.EncodeToString(sum.Sum(nil)[:16])
	if r.who.Key == "" {
		id = "gw/" + id
	}
	return id, nil
}

// freshID names a new record. A write that is sent twice has it twice, so that
// the second answer tells of what the first has made.
func (r *request) freshID() (string, error) {
	write, err := r.idempotency()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(write))
	return encodeID(sum[:]), nil
}

// newID is a name that nothing has.
func newID() string { return strings.ToLower(rand.Text()[:idLength]) }

const idLength = 16 // of 5 bits each

func encodeID(random []byte) string {
	return strings.ToLower(base32.StdEncoding.EncodeToString(random)[:idLength])
}

// sentence makes a message of the state's read like the others.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// A page is a part of a list.
type page[T any] struct {
	Data       []T    `json:"data"`
	NextCursor string `json:"next_cursor"` // empty: this is the last page
}

const (
	usualPage = 100
	mostPage  = 1000
)

// list answers with the page of what is at hand; id orders it.
func list[R, T any](r *request, all []R, id func(R) string, show func(R) T) error {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b R) int { return strings.Compare(id(a), id(b)) })
	return onePage(r, listing[R, T]{id: id, sees: func(R) bool { return true }, show: show}, []walk[R]{among(all, id)})
}
