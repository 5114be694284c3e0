package usage

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/lotabots/lotabots/cluster/wire"
)

// Numbers of a UsageRecord's fields.
const (
	fieldRequest     = 1
	fieldAtMs        = 2
	fieldTenant      = 3
	fieldUser        = 4
	fieldKey         = 5
	fieldDeployment  = 6
	fieldVersion     = 7
	fieldAdapter     = 8
	fieldEndpoint    = 9
	fieldRegion      = 10
	fieldNode        = 11
	fieldPrompt      = 12
	fieldCached      = 13
	fieldCompletion  = 14
	fieldGpuMs       = 15
	fieldOutcome     = 16
	fieldCode        = 17
	fieldAttempts    = 18
	fieldDurationMs  = 19
	fieldFirstByteMs = 20
	fieldUnknown     = 21
	fieldCache       = 22
)

// encode appends the record to dst, made one that the state takes, as proto.Marshal would.
func encode(dst []byte, r *wire.UsageRecord) []byte {
	encoded, odd := appendRecord(dst, r)
	if odd == 0 {
		return encoded
	}
	plain(r)
	encoded, _ = appendRecord(dst, r)
	return encoded
}

// appendRecord appends the record to dst. Each request is written down by it, so it goes by no table of fields; odd
// is 0 only where plain has nothing to do.
func appendRecord(dst []byte, r *wire.UsageRecord) (_ []byte, odd uint64) {
	dst, odd = appendName(dst, odd, fieldRequest, r.Request)
	dst = appendNumber(dst, fieldAtMs, uint64(r.AtMs))
	dst, odd = appendName(dst, odd, fieldTenant, r.Tenant)
	dst, odd = appendName(dst, odd, fieldUser, r.User)
	dst, odd = appendName(dst, odd, fieldKey, r.Key)
	dst, odd = appendName(dst, odd, fieldDeployment, r.Deployment)
	dst = appendNumber(dst, fieldVersion, r.Version)
	dst, odd = appendName(dst, odd, fieldAdapter, r.Adapter)
	dst, odd = appendName(dst, odd, fieldEndpoint, r.Endpoint)
	dst, odd = appendName(dst, odd, fieldRegion, r.Region)
	dst, odd = appendName(dst, odd, fieldNode, r.Node)
	dst = appendNumber(dst, fieldPrompt, r.Prompt)
	dst = appendNumber(dst, fieldCached, r.Cached)
	dst = appendNumber(dst, fieldCompletion, r.Completion)
	dst = appendNumber(dst, fieldGpuMs, r.GpuMs)
	dst, odd = appendName(dst, odd, fieldOutcome, r.Outcome)
	dst, odd = appendName(dst, odd, fieldCode, r.Code)
	dst = appendNumber(dst, fieldAttempts, uint64(r.Attempts))
	dst = appendNumber(dst, fieldDurationMs, r.DurationMs)
	dst = appendNumber(dst, fieldFirstByteMs, r.FirstByteMs)
	if r.Unknown {
		dst = appendNumber(dst, fieldUnknown, 1)
	}
	return appendName(dst, odd, fieldCache, r.Cache)
}

// appendNumber is called in ten places, and is one stretch of code to be fetched rather than ten.
//
//go:noinline
func appendNumber(dst []byte, field, n uint64) []byte {
	if n == 0 {
		return dst
	}
	dst = appendTag(dst, field<<3|uint64(protowire.VarintType))
	for ; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

// appendName sets bits of odd where s is too long, or has a byte in it that is 0 or not ASCII.
func appendName(dst []byte, odd, field uint64, s string) ([]byte, uint64) {
	if s == "" {
		return dst, odd
	}
	if len(s) > maxName {
		return protowire.AppendString(protowire.AppendTag(dst, protowire.Number(field), protowire.BytesType), s), 1
	}
	dst = appendTag(dst, field<<3|uint64(protowire.BytesType))
	if len(s) >= 0x80 {
		dst = append(dst, byte(len(s))|0x80, byte(len(s)>>7))
	} else {
		dst = append(dst, byte(len(s)))
	}
	dst = append(dst, s...)
	return dst, odd | oddBytes(dst[len(dst)-len(s):])
}

// appendTag takes those that have two bytes at most.
func appendTag(dst []byte, tag uint64) []byte {
	if tag >= 0x80 {
		return append(dst, byte(tag)|0x80, byte(tag>>7))
	}
	return append(dst, byte(tag))
}

const (
	eachOne  = 0x0101010101010101
	eachHigh = 0x8080808080808080
)

// oddBytes is 0 where each byte is between 1 and 127. It looks at eight at a time: a byte below 1 borrows, which
// sets a high bit, as one above 127 has it.
func oddBytes(b []byte) (odd uint64) {
	for len(b) >= 8 {
		eight := binary.LittleEndian.Uint64(b)
		odd |= eight | (eight - eachOne)
		b = b[8:]
	}
	for _, c := range b {
		odd |= uint64(c) | (uint64(c) - 1)
	}
	return odd & eachHigh
}
