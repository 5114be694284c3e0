package gateway

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// An auditView is an entry of the audit log, whole: the chain of hashes can be
// computed from it.
type auditView struct {
	Seq      uint64 `json:"seq"`
	Index    uint64 `json:"index"`
	AtMS     int64  `json:"at_ms"`
	Actor    string `json:"actor"`
	From     string `json:"from"`
	Action   string `json:"action"`
	Target   string `json:"target"`
	Tenant   string `json:"tenant"`
	Outcome  string `json:"outcome"`
	Message  string `json:"message"`
	Before   string `json:"before"`
	After    string `json:"after"`
	Count    uint32 `json:"count"`
	Request  string `json:"request"`
	Previous string `json:"previous"`
	Hash     string `json:"hash"`
}

func viewAudit(e *wire.AuditEntry) auditView {
	return auditView{Seq: e.GetSeq(), Index: e.GetIndex(), AtMS: e.GetAtMs(), Actor: e.GetActor(), From: e.GetFrom(), Action: e.GetAction(),
		Target: e.GetTarget(), Tenant: e.GetTenant(), Outcome: e.GetOutcome(), Message: e.GetMessage(), Before: e.GetBefore(), After: e.GetAfter(),
		Count: e.GetCount(), Request: e.GetRequest(), Previous: hex.EncodeToString(e.GetPrevious()), Hash: hex.EncodeToString(e.GetHash())}
}

// ndjson is the form in which the whole log is taken out: an entry on each line.
const ndjson = "application/x-ndjson"

// listAudit answers with a page of the log, the newest first, or with all of it,
// the oldest first, where JSON lines are asked for.
func listAudit(r *request) error {
	lines := strings.Contains(string(r.ctx.Request.Header.Peek(fasthttp.HeaderAccept)), ndjson)
	filter, err := r.auditFilter(!lines)
	if err != nil {
		return err
	}
	if lines && !r.ctx.IsHead() {
		r.ctx.Response.Header.SetContentType(ndjson)
		r.ctx.Response.SetBodyStream(r.g.send(&auditLines{r.g, filter}, r.ctx.Conn()), -1)
		return nil
	}
	limit, err := r.number("limit", usualPage, mostPage)
	if err != nil {
		return err
	}
	cursor := string(r.ctx.QueryArgs().Peek("cursor"))
	if _, err := hex.DecodeString(cursor); err != nil {
		f := &form{}
		f.add("cursor", "is none: give next_cursor of the page before")
		return f.err()
	}
	out := page[auditView]{Data: []auditView{}}
	for looked := 0; len(out.Data) < limit && looked < scanned; {
		found, next := r.g.cfg.State.Audit(filter.AuditFilter, cursor, limit-len(out.Data))
		for _, e := range found {
			if filter.fits(e) {
				out.Data = append(out.Data, viewAudit(e))
			}
		}
		// Where the walk has looked at enough for now, the page is short and another follows.
		if looked += len(found); len(found) == 0 {
			looked += mostPage
		}
		if cursor, out.NextCursor = next, next; next == "" {
			break
		}
	}
	return r.json(200, out)
}

// An auditQuery is what is asked for: what the state finds by its indexes, and of
// that what the rest fits to.
type auditQuery struct {
	AuditFilter
	action, outcome string // empty: any; action may be a pattern, such as keys.*
}

func (a *auditQuery) fits(e *wire.AuditEntry) bool {
	return (a.action == "" || access.Match(a.action, e.GetAction())) && (a.outcome == "" || e.GetOutcome() == a.outcome)
}

// auditFilter reads what is asked for. Who may not read the log of the whole
// cluster reads a tenant's.
func (r *request) auditFilter(newest bool) (auditQuery, error) {
	args := r.ctx.QueryArgs()
	a := auditQuery{AuditFilter{Actor: string(args.Peek("actor")), Target: string(args.Peek("target")), Tenant: string(args.Peek("tenant")), Newest: newest},
		string(args.Peek("action")), string(args.Peek("outcome"))}
	f := &form{}
	a.FromMS, a.ToMS = f.moment("from", string(args.Peek("from"))), f.moment("to", string(args.Peek("to")))
	switch order := string(args.Peek("order")); order {
	case "":
	case "newest", "oldest":
		a.Newest = order == "newest"
	default:
		f.add("order", "must be newest or oldest")
	}
	if err := f.err(); err != nil {
		return a, err
	}
	if r.who.May(access.AuditRead, access.Cluster) {
		return a, nil
	}
	_, tenants := r.who.Where(access.AuditRead)
	tenants = slices.DeleteFunc(tenants, func(t string) bool { return t == "" })
	if a.Tenant == "" && len(tenants) == 1 {
		a.Tenant = tenants[0]
	}
	if a.Tenant == "" && len(tenants) > 1 {
		f.add("tenant", "is missing: name one of "+join(tenants))
		return a, f.err()
	}
	return a, r.must(access.AuditRead, access.In(a.Tenant))
}

// moment reads a time: Unix milliseconds, or as of RFC 3339.
func (f *form) moment(param, text string) int64 {
	if text == "" {
		return 0
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return n
	}
	at, err := time.Parse(time.RFC3339, text)
	f.check(err == nil && at.UnixMilli() >= 0, param, "must be a time such as 2026-01-31T12:00:00Z, or Unix milliseconds")
	return at.UnixMilli()
}

// auditLines writes the log as JSON lines.
type auditLines struct {
	g      *Gateway
	filter auditQuery
}

func (a *auditLines) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for cursor := ""; ; {
		found, next := a.g.cfg.State.Audit(a.filter.AuditFilter, cursor, mostPage)
		for _, e := range found {
			if !a.filter.fits(e) {
				continue
			}
			if err := enc.Encode(viewAudit(e)); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
		if err := a.g.work.Err(); err != nil {
			return err
		}
	}
}

func (a *auditLines) Close() error { return nil }

// A verifiedView says whether the log is as it was written.
type verifiedView struct {
	Whole   bool   `json:"whole"`
	Entries uint64 `json:"entries"`
	First   uint64 `json:"first_seq"`
	Last    uint64 `json:"last_seq"`
	Hash    string `json:"hash"`   // of the last entry
	Broken  string `json:"broken"` // what does not fit; empty: all does
}

// verifyAudit computes the chain of hashes over all that is kept.
func verifyAudit(r *request) error {
	if r.g.cfg.VerifyAudit == nil {
		return r.elsewhere("verify the audit log")
	}
	ctx, cancel := r.operate()
	defer cancel()
	out, err := r.g.verify(ctx)
	if err != nil {
		return err
	}
	return r.json(200, out)
}

// misfit tells what does not fit in successive entries, or "".
func (g *Gateway) misfit(entries []*wire.AuditEntry) string {
	if err := g.cfg.VerifyAudit(entries); err != nil {
		return err.Error()
	}
	return ""
}

func (g *Gateway) verify(ctx context.Context) (out verifiedView, err error) {
	seq, head := g.cfg.State.AuditHead()
	var last *wire.AuditEntry
	for cursor := ""; out.Last < seq; {
		found, next := g.cfg.State.Audit(AuditFilter{}, cursor, mostPage)
		if last != nil {
			found = append([]*wire.AuditEntry{last}, found...) // each page must follow the one before
		}
		if out.Broken = g.misfit(found); out.Broken != "" {
			return out, nil
		}
		for _, e := range found {
			if e == last || e.GetSeq() > seq {
				continue
			}
			if out.Entries++; out.First == 0 {
				out.First = e.GetSeq()
			}
			out.Last, out.Hash = e.GetSeq(), hex.EncodeToString(e.GetHash())
		}
		if len(found) > 0 {
			last = found[len(found)-1]
		}
		if cursor = next; cursor == "" {
			break
		}
		if ctx.Err() != nil {
			return out, spec.Errorf(spec.CodeDeadline, "%d entries were verified, up to %d, and the time was over.", out.Entries, out.Last)
		}
	}
	if out.Last != seq || seq > 0 && out.Hash != hex.EncodeToString(head) {
		out.Broken = "the last entries are missing: the log ends at " + strconv.FormatUint(out.Last, 10) + ", and its head is " + strconv.FormatUint(seq, 10)
	}
	out.Whole = out.Broken == ""
	return out, nil
}
