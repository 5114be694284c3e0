package gateway

import (
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/prefix"
	"github.com/lotabots/lotabots/gateway/relay"
)

// sharePrefixes is the option by which a deployment's tenants use what engines hold of each other's prompts.
const sharePrefixes = "share-prefixes"

// HeaderSession names a session, whose requests go to one instance as long as it is there and has room.
const HeaderSession = "X-LotaBots-Session"

// maxSession bounds its name, in bytes: of a longer one the beginning counts.
const maxSession = 256

// begins notes whether the client asks how it is served, and names the beginnings of the prompt, by which the instance is found that has read them already. Where
// there is no choice of instances nothing is named. The names are the tenant's own, as what its engine holds is.
func (x *inferring) begins(r *request, check *openai.Request, d *deployment) {
	if name := r.field(&fieldSession); len(name) > 0 {
		x.Query.Session = balance.Session(x.who.Tenant, string(name[:min(len(name), maxSession)]))
	}
	x.Trace = string(r.field(&fieldTrace)) == "1"
	generates := x.Call.Path == openai.Chat.Path() || x.Call.Path == openai.Completions.Path()
	if d.placed < 2 && !x.Trace || !generates || !check.Prompted() || d.adapter != "" { // what adapters make of a prompt is kept apart, and not told
		return
	}
	salt := ""
	if d.GetOptions()[sharePrefixes] != "on" {
		salt = spec.CacheSalt(x.who.Tenant)
	}
	x.Query.Prompt = new(prefix.Prompt)
	check.Names(x.Body, salt, x.Query.Prompt)
}

// prefixed accounts for what an engine held of a prompt whose beginnings were named.
func (x *inferring) prefixed(o *relay.Outcome) {
	if x.Query.Prompt == nil || !o.HasUsage || !o.Usage.HasCached || o.Cache == spec.CacheHit || o.Cache == spec.CacheJoined {
		return
	}
	x.g.metrics.expected.Add(float64(min(o.Expected, o.Usage.Prompt)))
	x.g.metrics.cached.Add(float64(o.Usage.Cached))
}
