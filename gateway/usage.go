package gateway

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/relay"
)

// A UsageSink writes down what requests have used, each once.
type UsageSink interface {
	// Settle returns when the record outlives this process, or soon with an error. The request is
	// answered all the same: the sink tells of what it could not write.
	Settle(u *wire.UsageRecord) error
	// Note is for a request to which nobody waits for an answer any more. It does not block.
	Note(u *wire.UsageRecord)
}

// settle writes the request down before its last bytes go out.
func (x *inferring) settle(o relay.Outcome) error {
	x.settled = true
	_ = x.g.cfg.Usage.Settle(x.usage(o))
	return nil
}

// note writes down a request that the relay has not settled: its client has left, or
// it was refused. What named no model that the key may use is in the metrics alone, so
// that nobody fills the ledger by being refused.
func (x *inferring) note(o relay.Outcome) {
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
func (x *inferring) usage(o relay.Outcome) *wire.UsageRecord {
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
	return &wire.UsageRecord{
		Request: x.Call.RequestID, AtMs: now.UnixMilli(), Tenant: x.who.Tenant, User: x.who.User, Key: x.who.Key,
		Deployment: x.Call.Deployment, Version: x.Call.Version, Adapter: x.Call.Adapter, Endpoint: x.at, Region: region, Node: string(o.Node),
		Prompt: uint64(o.Usage.Prompt), Cached: uint64(o.Usage.Cached), Completion: uint64(o.Usage.Completion), Unknown: !o.HasUsage && o.Node != "",
		GpuMs: uint64(o.Held.Milliseconds()) * x.devices, Outcome: outcome, Code: code, Attempts: uint32(o.Attempts),
		DurationMs: uint64(now.Sub(x.began).Milliseconds()), FirstByteMs: uint64(o.FirstByte.Milliseconds()), Cache: cache,
	}
}

// outcomeOf is how a request ended, and by which code.
func outcomeOf(o relay.Outcome) (outcome, code string) {
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
