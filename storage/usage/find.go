package usage

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
)

// A Query says which records are wanted, and how many.
type Query struct {
	spec.RecordFilter
	Before uint64 // of the records' numbers; 0: no bound
	Limit  int
}

// A Found record, with its number.
type Found struct {
	Number uint64
	Record *wire.UsageRecord
}

// clockSlackMS is how much earlier a record may have ended than one before it, where the
// gateway's clock was set back. Older ones than that are not looked for behind it.
const clockSlackMS = 3_600_000

// findAtOnce is how many records one call looks at.
const findAtOnce = 500_000

// findAnyway is how often a record is read that lacks the text looked for: the time that it ended at tells
// whether any before it can be wanted.
const findAnyway = 256

// Find returns the newest records that fit, the newest first, and before which
// number the next call goes on; 0: there are no more. It looks at a bounded number of them, so
// that what it returns may be less than the limit though there are more.
func (l *Ledger) Find(ctx context.Context, q Query) (found []Found, next uint64, err error) {
	l.flush(ctx)
	upper := storage.Usage.End()
	if q.Before > 0 {
		upper = recordKey(q.Before)
	}
	it, err := l.db.Pebble().NewIter(&pebble.IterOptions{LowerBound: recordKey(0), UpperBound: upper})
	if err != nil {
		return nil, 0, err
	}
	rare := q.rarest()
	looked := 0
	defer func() { l.metrics.looked.Add(float64(looked)) }()
	for ok := it.Last(); ok; ok = it.Prev() {
		number := numberOf(it.Key())
		if looked++; looked > findAtOnce || looked%1024 == 0 && ctx.Err() != nil {
			next = number + 1
			break
		}
		if len(rare) > 0 && (q.FromMS == 0 || looked%findAnyway != 0) && !bytes.Contains(it.Value(), rare) { // most, and quick to see
			continue
		}
		_, r, err := decode(it.Key(), it.Value())
		if err != nil {
			return nil, 0, errors.Join(err, it.Close())
		}
		if r.GetAtMs() < q.FromMS-clockSlackMS {
			break
		}
		if !q.fits(r) {
			continue
		}
		if len(found) == q.Limit {
			next = number + 1
			break
		}
		found = append(found, Found{number, r})
	}
	return found, next, errors.Join(it.Error(), it.Close())
}

// rarest is a text that a record which fits has in it, as it is on disk.
func (q *Query) rarest() []byte {
	for _, text := range []string{q.Request, q.Key, q.User, q.Code, q.Adapter, q.Deployment, q.Tenant} {
		if text != "" {
			return []byte(text)
		}
	}
	return nil
}

func (q *Query) fits(r *wire.UsageRecord) bool {
	for _, f := range [...]struct{ want, has string }{
		{q.Request, r.GetRequest()}, {q.Tenant, r.GetTenant()}, {q.User, r.GetUser()}, {q.Key, r.GetKey()}, {q.Deployment, r.GetDeployment()},
		{q.Adapter, r.GetAdapter()}, {q.Endpoint, r.GetEndpoint()}, {q.Region, r.GetRegion()}, {q.Outcome, r.GetOutcome()}, {q.Code, r.GetCode()},
	} {
		if f.want != "" && f.want != f.has {
			return false
		}
	}
	return r.GetAtMs() >= q.FromMS && (q.ToMS == 0 || r.GetAtMs() < q.ToMS)
}
