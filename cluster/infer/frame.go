package infer

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Headers and trailers of an answer. Its kind says which of the others to expect.
const (
	hdrKind       = "Lotabots-Kind"
	hdrStatus     = "X-Engine-Status"
	hdrLoad       = "Lotabots-Load" // also a trailer
	hdrReason     = "Lotabots-Reason"
	hdrRetryAfter = "Lotabots-Retry-After-Ms"
	hdrRemaining  = "Lotabots-Remaining-Ms" // of the request
	hdrEnd        = "Lotabots-End"          // trailer: 1, the answer is whole; endBehind, or anything else: it is not
	hdrCause      = "Lotabots-Cause"        // trailer: why it is not

	endBehind = "behind" // spec.ErrBehind

	kindStream   = "stream"
	kindRejected = "rejected"
	kindError    = "error"
	kindQuota    = "quota"
	kindLine     = "line"
)

const (
	maxCall  = 64 << 10
	maxGrant = 4 << 10 // of a quota's answer, and of a load in a header
	// MaxQuota bounds a quota request, in bytes: one may tell the states of many limits.
	MaxQuota = 64 << 10
	prefix   = 4
)

var errFrame = errors.New("the call's frame is damaged")

// appendCall appends the length-prefixed call to b.
func appendCall(b []byte, c *wire.Call) ([]byte, error) {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b, err := proto.MarshalOptions{}.MarshalAppend(b, c)
	if err != nil {
		return nil, err
	}
	n := len(b) - at - prefix
	if n > maxCall {
		return nil, fmt.Errorf("the call takes %d bytes, over the limit of %d", n, maxCall)
	}
	binary.BigEndian.PutUint32(b[at:], uint32(n))
	return b, nil
}

// readCall reads the length-prefixed call and tells how many bytes it took.
func readCall(r io.Reader) (*wire.Call, int64, error) {
	var head [prefix]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errFrame, err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxCall {
		return nil, 0, fmt.Errorf("%w: %d bytes, over the limit of %d", errFrame, n, maxCall)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errFrame, err)
	}
	call := new(wire.Call)
	if err := proto.Unmarshal(raw, call); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errFrame, err)
	}
	return call, prefix + int64(n), nil
}

func callToWire(t spec.Target, c *spec.Call) *wire.Call {
	w := &wire.Call{
		RequestId: c.RequestID, Tenant: c.Tenant, Key: c.Key, Deployment: c.Deployment, Version: c.Version,
		Instance: string(t.Instance), Device: string(t.Device), Regions: c.Regions, Attempt: uint32(max(c.Attempt, 0)),
		Path: c.Path, Gateway: string(c.Gateway), Traceparent: c.TraceParent,
		PromptTokens: uint32(max(c.PromptTokens, 0)), CachedTokens: uint32(max(c.CachedTokens, 0)), Stream: c.Stream, Adapter: c.Adapter,
		Method: c.Method, ContentType: c.ContentType, HeadLength: uint32(max(c.HeadLength, 0)),
	}
	if !c.Deadline.IsZero() {
		w.DeadlineMs = c.Deadline.UnixMilli()
	}
	w.Lease, w.Alone = c.Lease, c.Alone
	if c.Waits != nil {
		w.Waits = reservationToWire(t, c.Waits)
	}
	w.Cache = cacheToWire(c.Cache)
	return w
}

func callFromWire(w *wire.Call) (spec.Target, spec.Call) {
	c := spec.Call{
		RequestID: w.RequestId, Tenant: w.Tenant, Key: w.Key, Deployment: w.Deployment, Version: w.Version,
		Regions: w.Regions, Attempt: int(w.Attempt), Path: w.Path, Gateway: spec.NodeID(w.Gateway),
		TraceParent: w.Traceparent, PromptTokens: int(w.PromptTokens), CachedTokens: int(w.CachedTokens), Stream: w.Stream, Adapter: w.Adapter,
		Method: w.Method, ContentType: w.ContentType, HeadLength: int(w.HeadLength),
	}
	if w.DeadlineMs != 0 {
		c.Deadline = time.UnixMilli(w.DeadlineMs)
	}
	c.Lease, c.Alone = w.Lease, w.Alone
	if w.Waits.GetSeq() != 0 { // else it is none
		_, waits := reservationFromWire(w.Waits)
		c.Waits = &waits
	}
	c.Cache = cacheFromWire(w.Cache)
	return spec.Target{Device: spec.DeviceID(w.Device), Instance: spec.InstanceID(w.Instance)}, c
}

// loadText packs a load into a header. The sequence number is the device's, so
// it travels where digests have it.
func loadText(l spec.Load) string {
	state := wire.InstanceState_INSTANCE_STATE_UNSPECIFIED
	if l.Ready {
		state = wire.InstanceState_INSTANCE_STATE_READY
	}
	raw, err := proto.Marshal(&wire.DeviceLoad{Seq: l.Seq, Instances: []*wire.InstanceLoad{{
		Instance: string(l.Instance), State: state, Slots: uint32(max(l.Slots, 0)),
		Running: uint32(max(l.Running, 0)), Queued: uint32(max(l.Queued, 0)), KvUse: float32(l.KVUse),
		BacklogSeconds: float32(l.BacklogSeconds), Paced: l.Paced, PrefillTps: float32(l.PrefillTPS), DecodeTps: float32(l.DecodeTPS),
	}}})
	if err != nil { // an instance id that is not UTF-8
		return ""
	}
	return base64.RawStdEncoding.EncodeToString(raw)
}

func loadFromText(s string, now time.Time) (spec.Load, bool) {
	if s == "" || len(s) > maxGrant {
		return spec.Load{}, false
	}
	raw, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return spec.Load{}, false
	}
	var d wire.DeviceLoad
	if proto.Unmarshal(raw, &d) != nil || len(d.Instances) != 1 {
		return spec.Load{}, false
	}
	i := d.Instances[0]
	return spec.Load{
		Instance: spec.InstanceID(i.Instance), Ready: i.State == wire.InstanceState_INSTANCE_STATE_READY,
		Slots: int(i.Slots), Running: int(i.Running), Queued: int(i.Queued), KVUse: float64(i.KvUse),
		BacklogSeconds: float64(i.BacklogSeconds), Paced: i.Paced, PrefillTPS: float64(i.PrefillTps), DecodeTPS: float64(i.DecodeTps),
		Seq: d.Seq, At: now,
	}, true
}
