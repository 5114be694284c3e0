package gateway

import (
	"encoding/json"
	"iter"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/prefix"
)

// A share is the part of a deployment's requests that another serves, such as one of the
// next version of its model.
type share struct {
	name    string
	percent int
}

const trafficRule = "must be deployments and percents, as in next=10,other=5, of 100 together at most"

// parseTraffic reads a setting.
func parseTraffic(value string) (shares []share, ok bool) {
	sum := 0
	for part := range strings.SplitSeq(value, ",") {
		name, text, _ := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100 || !nameForm.MatchString(name) {
			return nil, false
		}
		sum += n
		shares = append(shares, share{name, n})
	}
	return shares, sum <= 100
}

// traffic is how settings split deployments' requests. Requests read it without a lock.
type traffic struct {
	now atomic.Pointer[map[string][]share]
}

// reload reads all settings anew. Only one may change the traffic at a time.
func (t *traffic) reload(all iter.Seq[Setting]) {
	next := map[string][]share{}
	for setting := range all {
		if name, ok := strings.CutPrefix(setting.Name, spec.SettingTraffic); ok {
			if shares, ok := parseTraffic(setting.Value); ok {
				next[name] = shares
			}
		}
	}
	t.now.Store(&next)
}

// follow takes over a setting that has changed.
func (t *traffic) follow(setting string, read func(string) (string, bool)) {
	name, ok := strings.CutPrefix(setting, spec.SettingTraffic)
	if !ok {
		return
	}
	next := map[string][]share{}
	if now := t.now.Load(); now != nil {
		next = maps.Clone(*now)
	}
	delete(next, name)
	if value, ok := read(setting); ok {
		if shares, ok := parseTraffic(value); ok {
			next[name] = shares
		}
	}
	t.now.Store(&next)
}

// of names who serves the request of deployment name for which draw was drawn, of 100; empty: itself.
func (t *traffic) of(name string, draw int) string {
	now := t.now.Load()
	if now == nil {
		return ""
	}
	for _, s := range (*now)[name] {
		if draw -= s.percent; draw < 0 {
			return s.name
		}
	}
	return ""
}

// draw draws a number below 100, for all requests of a session the same; what draws for another reason has
// another salt.
func (r *request) draw(salt string) int {
	name := r.field(&fieldSession)
	if len(name) == 0 {
		return rand.IntN(100)
	}
	return int(prefix.Number(r.who.Tenant+"\x00"+string(name[:min(len(name), maxSession)])+salt) % 100)
}

// divert gives the request to the deployment that has the share of d's traffic that it falls into: one
// session's requests to one. Where the caller may not use that one, or it cannot what is asked for, d serves.
func (x *inferring) divert(r *request, check *openai.Request, d *deployment, body []byte) (*deployment, []byte) {
	if now := r.g.traffic.now.Load(); now == nil || len(*now) == 0 || d.adapter != "" || x.endpoint.Body() != openai.JSON {
		return d, body
	}
	to := r.g.catalog.find([]byte(r.g.traffic.of(d.GetName(), r.draw(""))))
	if to == nil || to == d || !x.who.Sees(to.GetTenant()) || !x.who.MayUse(to.model(), to.GetTenant()) || r.able(to, x.endpoint, check) != nil {
		return d, body
	}
	name, _ := json.Marshal(to.model())
	changed, err := openai.WithField(body, "model", name)
	if err != nil {
		return d, body
	}
	x.Instead, x.Native = to.model(), nil // which names the other
	return to, changed
}
