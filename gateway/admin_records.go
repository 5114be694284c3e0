package gateway

import (
	"context"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/access"
)

// UsageRecords reads the records of single requests, which gateways keep for some days.
type UsageRecords interface {
	// Records asks every living gateway that asked is true of for what it has, and names
	// those that did not answer.
	Records(ctx context.Context, q RecordQuery, asked func(gateway spec.NodeID) (before uint64, ok bool)) (found []FoundRecords, silent []spec.NodeID)
}

// A RecordQuery says which records are wanted, and how many.
type RecordQuery struct {
	spec.RecordFilter
	Limit int // of each gateway
}

// ofRecords is the parameters of a question for records.
const ofRecords = "request tenant user key deployment adapter endpoint region outcome code gateway from to " + ofPages

// A recordView is what one request has used.
type recordView struct {
	Request    string  `json:"request_id"`
	AtMS       int64   `json:"at_ms"` // when it ended
	Tenant     string  `json:"tenant"`
	User       string  `json:"user"`
	Key        string  `json:"key"`
	Deployment string  `json:"deployment"`
	Version    uint64  `json:"version"`
	Adapter    string  `json:"adapter"`
	Endpoint   string  `json:"endpoint"`
	Region     string  `json:"region"`
	Gateway    *string `json:"gateway,omitempty"` // for who may see nodes
	Node       *string `json:"node,omitempty"`
	Outcome    string  `json:"outcome"`
	Code       string  `json:"code"`
	Prompt     uint64  `json:"prompt_tokens"`
	Cached     uint64  `json:"cached_tokens"`
	Completion uint64  `json:"completion_tokens"`
	Unknown    bool    `json:"unknown"`
	GPU        float64 `json:"gpu_seconds"`
	Attempts   uint32  `json:"attempts"`
	Seconds    float64 `json:"seconds"`
	FirstByte  float64 `json:"first_byte_seconds"`
}

type recordsView struct {
	Data       []recordView `json:"data"`
	NextCursor string       `json:"next_cursor"`
	Silent     []string     `json:"silent_gateways"` // whose records lack
}

// listRecords answers with single requests, those that ended last first.
func listRecords(r *request) error {
	q, at, err := r.recordsAsked()
	if err != nil {
		return err
	}
	if q.Limit, err = r.number("limit", usualPage, mostPage); err != nil {
		return err
	}
	if r.g.cfg.Records == nil {
		return r.elsewhere("read records of usage")
	}
	ctx, cancel := r.operate()
	defer cancel()
	only := string(r.ctx.QueryArgs().Peek("gateway"))
	found, silent := r.g.cfg.Records.Records(ctx, q, func(gateway spec.NodeID) (uint64, bool) {
		before, more := at[tagOf(gateway)]
		return before, (at == nil || more) && (only == "" || only == string(gateway))
	})
	page, next := mergeRecords(found, at, q.Limit)
	for _, id := range silent { // else the pages would have no end
		delete(next, tagOf(id))
	}
	out := recordsView{Data: make([]recordView, len(page)), NextCursor: next.cursor(), Silent: []string{}}
	nodes := r.who.May(access.TopologyRead, access.Cluster)
	for i, record := range page {
		out.Data[i] = viewRecord(record, nodes)
	}
	for _, id := range silent {
		if nodes {
			out.Silent = append(out.Silent, string(id))
		} else {
			out.Silent = append(out.Silent, tagOf(id))
		}
	}
	if len(out.NextCursor) > maxCursor {
		return &spec.Error{Code: spec.CodeInvalidRequest, Param: "gateway", Message: "The records of so many gateways cannot be listed page by page.",
			Hint: "Ask one gateway after the other, for a shorter time, or for one request."}
	}
	return r.json(200, out)
}

func (r *request) recordsAsked() (RecordQuery, places, error) {
	args := r.ctx.QueryArgs()
	text := func(name string) string { return string(args.Peek(name)) }
	f := &form{}
	q := RecordQuery{RecordFilter: spec.RecordFilter{Request: text("request"), Tenant: text("tenant"), User: text("user"), Key: text("key"), Deployment: text("deployment"), Adapter: text("adapter"),
		Endpoint: text("endpoint"), Region: text("region"), Outcome: text("outcome"), Code: text("code"), FromMS: f.moment("from", text("from")), ToMS: f.moment("to", text("to"))}}
	f.check(q.ToMS == 0 || q.FromMS < q.ToMS, "to", "must be after from")
	at, err := parsePlaces(text("cursor"))
	f.check(err == nil, "cursor", "is none: give next_cursor of the page before")
	if err := f.err(); err != nil {
		return q, nil, err
	}
	mine := UsageQuery{Tenant: q.Tenant, User: q.User}
	err = r.usageAllowed(&mine)
	q.Tenant, q.User = mine.Tenant, mine.User
	return q, at, err
}

func viewRecord(u mergedRecord, nodes bool) recordView {
	v := recordView{Request: u.GetRequest(), AtMS: u.GetAtMs(), Tenant: u.GetTenant(), User: u.GetUser(), Key: u.GetKey(), Deployment: u.GetDeployment(), Version: u.GetVersion(),
		Adapter: u.GetAdapter(), Endpoint: u.GetEndpoint(), Region: u.GetRegion(), Outcome: u.GetOutcome(), Code: u.GetCode(), Prompt: u.GetPrompt(), Cached: u.GetCached(),
		Completion: u.GetCompletion(), Unknown: u.GetUnknown(), GPU: float64(u.GetGpuMs()) / 1000, Attempts: u.GetAttempts(), Seconds: float64(u.GetDurationMs()) / 1000,
		FirstByte: float64(u.GetFirstByteMs()) / 1000}
	if nodes {
		gateway, node := string(u.gateway), u.GetNode()
		v.Gateway, v.Node = &gateway, &node
	}
	return v
}
