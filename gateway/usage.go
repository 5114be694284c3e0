package gateway

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/relay"
)

// A UsageSink writes down what requests have used, each once. It keeps no record: the caller uses it again.
type UsageSink interface {
	// Settle returns when the record outlives this process, or soon with an error. The request is
	// answered all the same: the sink tells of what it could not write.
	Settle(u *wire.UsageRecord) error
	// Note is for a request to which nobody waits for an answer any more. It does not block.
	Note(u *wire.UsageRecord)
}

// settle writes the request down before its last bytes go out.
func (x *inferring) settle(o *relay.Outcome) error {
	x.settled = true
	_ = x.g.cfg.Usage.Settle(x.usage(o))
	return nil
}

// note writes down a request that the relay has not settled: its client has left, or
// it was refused. What named no model that the key may use is in the metrics alone, so
// that nobody fills the ledger by being refused.
func (x *inferring) note(o *relay.Outcome) {
	switch {
	case x.g.cfg.Usage == nil || x.settled || x.Call.Deployment == "":
	case o.Gone:
		x.g.cfg.Usage.Note(x.usage(o))
	default:
		_ = x.settle(o)
	}
}

// usage is the record of a request that ends so. GPU time is that of the slots that
// it held, times the devices of an instance.
func (x *inferring) usage(o *relay.Outcome) *wire.UsageRecord {
	now := time.Now()
	region := x.g.cfg.Region
	if o.Node != "" && x.g.cfg.RegionOf != nil {
		region = x.g.cfg.RegionOf(o.Node)
	}
	outcome, code := outcomeOf(o)
	cache := ""
	if o.Cache != spec.CacheMiss {
		cache = string(o.Cache)
	}
	if x.record == nil { // as of streams that wait, which are many
		x.record = new(wire.UsageRecord)
	}
	u := x.record // all of which is written anew
	u.Request, u.AtMs, u.Tenant, u.User, u.Key = x.Call.RequestID, now.UnixMilli(), x.who.Tenant, x.who.User, x.who.Key
	u.Deployment, u.Version, u.Adapter, u.Endpoint, u.Region, u.Node = x.Call.Deployment, x.Call.Version, x.Call.Adapter, x.at, region, string(o.Node)
	u.Prompt, u.Cached, u.Completion, u.Unknown = uint64(o.Usage.Prompt), uint64(o.Usage.Cached), uint64(o.Usage.Completion), !o.HasUsage && o.Node != ""
	u.GpuMs, u.Outcome, u.Code, u.Attempts = uint64(o.Held.Milliseconds())*x.devices, outcome, code, uint32(o.Attempts)
	u.DurationMs, u.FirstByteMs, u.Cache = uint64(now.Sub(x.began).Milliseconds()), uint64(o.FirstByte.Milliseconds()), cache
	return u
}

// outcomeOf is how a request ended, and by which code.
func outcomeOf(o *relay.Outcome) (outcome, code string) {
	code = codeOf(o)
	status := o.Status
	if o.Err != nil {
		status = o.Err.Code.Lookup().Status
	}
	switch {
	case o.Gone:
		return spec.UsageGone, code
	case code != "" && status >= 500:
		return spec.UsageFailed, code
	case code != "":
		return spec.UsageRefused, code
	}
	return spec.UsageOK, ""
}
