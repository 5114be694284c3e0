package infer

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// maxLine bounds one message of a line.
const maxLine = 8 << 10

// appendMessage appends the length-prefixed message to b, which stays as it is where
// that is not possible.
func appendMessage(b []byte, m proto.Message) []byte {
	at := len(b)
	out, err := proto.MarshalOptions{}.MarshalAppend(append(b, 0, 0, 0, 0), m)
	if n := len(out) - at - prefix; err == nil && n <= maxLine {
		binary.BigEndian.PutUint32(out[at:], uint32(n))
		return out
	}
	return b[:at] // a name that is not UTF-8, or no name at all
}

// readMessage reads the next message of a line into m; io.EOF: the line has ended.
func readMessage(r io.Reader, m proto.Message) error {
	var head [prefix]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxLine {
		return fmt.Errorf("%w: %d bytes, over the limit of %d", errFrame, n, maxLine)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(r, raw); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	if err := proto.Unmarshal(raw, m); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	return nil
}

func reservationToWire(t spec.Target, r *spec.Reservation) *wire.Reservation {
	return &wire.Reservation{
		Device: string(t.Device), Instance: string(r.Instance), Seq: r.Seq, Count: uint32(max(r.Count, 0)), Priority: uint32(max(r.Priority, 0)),
		Tenant: r.Tenant, AgeUs: r.Age.Microseconds(), Cost: uint32(min(max(r.Cost, 0), math.MaxInt32)), Declined: r.Declined,
		Bands: binary.LittleEndian.Uint32(r.Bands[:]), OldestUs: r.Oldest.Microseconds(), Run: r.Run,
	}
}

// maxAge bounds how long a request is believed to have waited.
const maxAge = 24 * time.Hour

func reservationFromWire(w *wire.Reservation) (spec.DeviceID, spec.Reservation) {
	r := spec.Reservation{
		Instance: spec.InstanceID(w.Instance), Seq: w.Seq, Count: int(min(w.Count, math.MaxInt32)), Priority: int(min(w.Priority, math.MaxInt32)), Tenant: w.Tenant,
		Age: time.Duration(min(max(w.AgeUs, 0), maxAge.Microseconds())) * time.Microsecond, Cost: int(min(w.Cost, math.MaxInt32)), Declined: w.Declined,
		Oldest: time.Duration(min(max(w.OldestUs, 0), maxAge.Microseconds())) * time.Microsecond, Run: w.Run,
	}
	binary.LittleEndian.PutUint32(r.Bands[:], w.Bands)
	return spec.DeviceID(w.Device), r
}

func leaseToWire(l *spec.Lease) *wire.Lease {
	return &wire.Lease{Instance: string(l.Instance), Id: l.ID, LastsUs: l.Lasts.Microseconds(), Load: []byte(loadText(l.Load))}
}

func leaseFromWire(w *wire.Lease, now time.Time) spec.Lease {
	l := spec.Lease{Instance: spec.InstanceID(w.Instance), ID: w.Id, Lasts: time.Duration(min(max(w.LastsUs, 0), maxAge.Microseconds())) * time.Microsecond}
	l.Load, _ = loadFromText(string(w.Load), now)
	return l
}
