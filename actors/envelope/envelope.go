package envelope

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Version is the version of the envelope that this build writes. A later one may
// have more fields and kinds, never other meanings.
const Version = 1

// MaxPayload bounds a payload; bulk never goes by message.
const MaxPayload = 256 << 10

// maxLate is how far beyond its deadline a command is still obeyed: the clocks of
// two nodes differ, and epochs, not clocks, keep old commands harmless.
const maxLate = time.Minute

// Ack is the kind of an answer.
const Ack = "Ack"

// Refused is the kind that a guard makes of what its sender may not send; actors
// answer it with permission_denied.
const Refused = "Refused"

// A kind is one sort of payload.
type kind struct {
	make   func() proto.Message
	voters bool // only voters may send it: whoever leads is one
}

var kinds = map[string]kind{
	"LoadModel":   {func() proto.Message { return new(wire.LoadModel) }, true},
	"UnloadModel": {func() proto.Message { return new(wire.UnloadModel) }, true},
	"Drain":       {func() proto.Message { return new(wire.Drain) }, true},
	"Resume":      {func() proto.Message { return new(wire.Resume) }, true},
	"Describe":    {func() proto.Message { return new(wire.Describe) }, false},
	Ack:           {func() proto.Message { return new(wire.Ack) }, false},
}

// VotersOnly tells whether only voters may send the kind. An unknown kind is
// anybody's: it has no effect but an answer that says so.
func VotersOnly(name string) bool { return kinds[name].voters }

// Pack makes the envelope of m. A zero deadline is none.
func Pack(m proto.Message, origin spec.NodeID, deadline time.Time, headers map[string]string) (*wire.Envelope, error) {
	name := string(m.ProtoReflect().Descriptor().Name())
	if _, ok := kinds[name]; !ok {
		return nil, fmt.Errorf("a %s is no message of actors", name)
	}
	raw, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("packing a %s: %w", name, err)
	}
	if len(raw) > MaxPayload {
		return nil, fmt.Errorf("packing a %s: it takes %d bytes, over the limit of %d", name, len(raw), MaxPayload)
	}
	e := &wire.Envelope{Version: Version, Kind: name, Payload: raw, Origin: string(origin), Headers: headers}
	if !deadline.IsZero() {
		e.DeadlineMs = deadline.UnixMilli()
	}
	return e, nil
}

// Open returns the payload, or a *spec.Error that its sender should read.
func Open(e *wire.Envelope, now time.Time) (proto.Message, error) {
	k, ok := kinds[e.GetKind()]
	switch {
	case e.GetKind() == Refused:
		return nil, spec.Errorf(spec.CodeForbidden, "Node %s may not send this to an actor.", e.GetOrigin())
	case e.GetVersion() == 0:
		return nil, spec.Errorf(spec.CodeInvalidRequest, "The envelope has no version.")
	case !ok:
		return nil, spec.Errorf(spec.CodeFeatureLevel, "This node's build does not know the message %.40q of envelope version %d.", e.GetKind(), e.GetVersion())
	case len(e.GetPayload()) > MaxPayload:
		return nil, spec.Errorf(spec.CodeInvalidRequest, "The %s takes %d bytes, over the limit of %d.", e.GetKind(), len(e.GetPayload()), MaxPayload)
	case e.GetDeadlineMs() != 0 && now.Sub(time.UnixMilli(e.GetDeadlineMs())) > maxLate:
		return nil, spec.Errorf(spec.CodeDeadline, "The %s came long after its deadline.", e.GetKind())
	}
	m := k.make()
	if err := proto.Unmarshal(e.GetPayload(), m); err != nil {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Message: "The " + e.GetKind() + " could not be read.", Err: err}
	}
	return m, nil
}

// Failed is the Ack that tells err.
func Failed(err error, load *wire.DeviceLoad) *wire.Ack {
	var public *spec.Error
	if errors.As(err, &public) {
		return &wire.Ack{Code: string(public.Code), Message: public.Message, Load: load}
	}
	return &wire.Ack{Code: string(spec.CodeInternal), Message: err.Error(), Load: load}
}
