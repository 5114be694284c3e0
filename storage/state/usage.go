package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

var (
	usage   = table[*wire.UsageRow]{0x14, 0, fresh[wire.UsageRow], usageName, usageIndexes}
	ledgers = table[*wire.UsageLedger]{0x15, 0, fresh[wire.UsageLedger], (*wire.UsageLedger).GetId, none[*wire.UsageLedger]}
)

const (
	maxUsageRows = 1000                 // in one command
	ledgersKept  = 800 * 24 * time.Hour // after the last that was heard of it
)

var usageSettings = [len(spec.UsagePeriods)]string{spec.SettingUsageMinutes, spec.SettingUsageHours, spec.SettingUsageDays}

// usageName is a period, when it begins, and a digest of what the requests have in
// common: the sums of a period lie in the order of time. Sums
// of no known version have the names that they had before versions were told.
func usageName(r *wire.UsageRow) string {
	alike := strings.Join([]string{r.GetTenant(), r.GetUser(), r.GetKey(), r.GetDeployment(), r.GetAdapter(), r.GetEndpoint(), r.GetRegion(), r.GetOutcome()}, "\x00")
	if v := r.GetVersion(); v != 0 {
		alike += "\x00" + strconv.FormatUint(v, 10)
	}
	sum := sha256.Sum256([]byte(alike))
	return string(append(usageStart(r.GetPeriodS(), r.GetAtMs()), sum[:16]...))
}

func usageStart(period uint32, atMS int64) []byte {
	return append(binary.BigEndian.AppendUint32(nil, period), be(uint64(max(atMS, 0)))...)
}

func usageIndexes(r *wire.UsageRow) [][]byte {
	name := usageName(r)
	out := [][]byte{indexKey(byUsageTenant, r.GetTenant(), name), indexKey(byUsageDeployment, r.GetDeployment(), name)}
	if r.GetKey() != "" {
		out = append(out, indexKey(byUsageKey, r.GetKey(), name))
	}
	return out
}

// A sums tells how many sums of a period there are. None that begins at whole or
// later was dropped.
type sums struct{ count, whole int64 }

func tallyKey(period uint32) []byte { return binary.BigEndian.AppendUint32([]byte{tallyTable}, period) }

func (v view) sums(period uint32) (y sums) {
	if raw, ok := v.value(tallyKey(period)); ok {
		y.count, y.whole = int64(binary.BigEndian.Uint64(raw)), int64(binary.BigEndian.Uint64(raw[8:]))
	}
	return y
}

func checkTally(name, value []byte) ([][]byte, error) {
	if len(name) != 4 || len(value) != 16 {
		return nil, errors.New("want two numbers of 8 bytes for a period of 4")
	}
	return nil, nil
}

// putUsage counts what a gateway's ledger has summed up since it last told.
func (t *tx) putUsage(c *wire.PutUsage) *wire.Result {
	if bad := checkUsage(c); bad != nil {
		return bad
	}
	l, exists := ledgers.get(t.view, c.GetLedger())
	if !exists {
		l = &wire.UsageLedger{Id: c.GetLedger()}
		t.forgetLedgers()
	}
	switch {
	case exists && l.GetGateway() != c.GetGateway():
		return refuse(spec.CodeForbidden, "ledger %s is of gateway %s, not of %s", l.GetId(), l.GetGateway(), c.GetGateway())
	case c.GetThrough() <= l.GetThrough():
		return done(l.GetThrough())
	case c.GetAfter() != l.GetThrough():
		r := refuse(spec.CodeConflict, "of ledger %s of gateway %s the records up to %d are counted, and these follow %d",
			c.GetLedger(), c.GetGateway(), l.GetThrough(), c.GetAfter())
		r.Version = l.GetThrough()
		return r
	}
	for i, period := range spec.UsagePeriods {
		t.addUsage(i, period, c.GetRows())
	}
	l.Gateway, l.Through, l.AtMs, l.Dropped = c.GetGateway(), c.GetThrough(), t.at, l.GetDropped()+c.GetDropped()
	ledgers.put(t, l, nil, false)
	return done(l.GetThrough())
}

func checkUsage(c *wire.PutUsage) *wire.Result {
	if bad := checkName("the ledger", c.GetLedger()); bad != nil {
		return bad
	}
	if bad := checkName("the gateway", c.GetGateway()); bad != nil {
		return bad
	}
	if len(c.GetRows()) > maxUsageRows || c.GetThrough() <= c.GetAfter() {
		return refuse(spec.CodeInvalidRequest, "%d sums of the records %d to %d: there may be %d, of one record at least",
			len(c.GetRows()), c.GetAfter()+1, c.GetThrough(), maxUsageRows)
	}
	for _, r := range c.GetRows() {
		for _, name := range []string{r.GetTenant(), r.GetUser(), r.GetKey(), r.GetDeployment(), r.GetAdapter(), r.GetEndpoint(), r.GetRegion(), r.GetOutcome()} {
			if name == "" {
				continue
			}
			if bad := checkName("what usage is summed up by", name); bad != nil {
				return bad
			}
		}
	}
	return nil
}

// addUsage adds to the sums of one period. What a gateway's clock has in the future
// is of now, and what is older than is kept is left out.
func (t *tx) addUsage(i int, period uint32, rows []*wire.UsageRow) {
	y, span := t.sums(period), int64(period)*1000
	keep := t.usageKept(i)
	for _, add := range rows {
		at := max(min(add.GetAtMs(), t.at), 0)
		at -= at % span
		if at+span+keep < t.at {
			y.whole = max(y.whole, at+span)
			continue
		}
		r := &wire.UsageRow{AtMs: at, PeriodS: period, Tenant: add.GetTenant(), User: add.GetUser(), Key: add.GetKey(), Deployment: add.GetDeployment(), Version: add.GetVersion(),
			Adapter: add.GetAdapter(), Endpoint: add.GetEndpoint(), Region: add.GetRegion(), Outcome: add.GetOutcome()}
		if old, ok := usage.get(t.view, usageName(r)); ok {
			AddUsage(old, add)
			raw, err := marshal.Marshal(old)
			must(err)
			t.set(usage.key(usageName(old)), raw) // its indexes stay
			continue
		}
		AddUsage(r, add)
		usage.put(t, r, nil, false)
		t.floors.usage[i] = min(t.floors.usage[i], at)
		y.count++
	}
	y = t.retainUsage(i, period, keep, y, len(rows)+atOnce)
	t.set(tallyKey(period), slices.Concat(be(uint64(y.count)), be(uint64(y.whole))))
}

// AddUsage adds what the sum from counts to that of to.
func AddUsage(to, from *wire.UsageRow) {
	to.Requests += from.GetRequests()
	to.Unknown += from.GetUnknown()
	to.Prompt += from.GetPrompt()
	to.Cached += from.GetCached()
	to.Completion += from.GetCompletion()
	to.GpuMs += from.GetGpuMs()
	to.Attempts += from.GetAttempts()
	to.DurationMs += from.GetDurationMs()
}

func (t *tx) usageKept(i int) int64 {
	value, _ := t.value(append([]byte{settingsTable}, usageSettings[i]...))
	keep, _ := spec.UsageKept(usageSettings[i], string(value))
	return keep.Milliseconds()
}

// retainUsage drops up to most of the oldest sums of a period that are too many or too old.
func (t *tx) retainUsage(i int, period uint32, keep int64, y sums, most int) sums {
	prefix := binary.BigEndian.AppendUint32([]byte{usage.id}, period)
	var old []*wire.UsageRow
	t.walk(prefix, append(bytes.Clone(prefix), be(uint64(t.floors.usage[i]))...), func(key, value []byte) bool {
		at := int64(binary.BigEndian.Uint64(key[5:]))
		t.floors.usage[i] = at
		if y.count-int64(len(old)) <= int64(t.limits.usage) && at+int64(period)*1000+keep >= t.at {
			return false
		}
		old = append(old, usage.decode(value))
		return len(old) < most
	})
	for _, r := range old {
		usage.drop(t, r)
		y.whole = max(y.whole, r.GetAtMs()+int64(period)*1000)
	}
	y.count -= int64(len(old))
	return y
}

// forgetLedgers drops some of which nothing was heard for very long.
func (t *tx) forgetLedgers() {
	var old []*wire.UsageLedger
	t.walk([]byte{ledgers.id}, nil, func(_, value []byte) bool {
		if l := ledgers.decode(value); t.at-l.GetAtMs() > ledgersKept.Milliseconds() {
			old = append(old, l)
		}
		return len(old) < atOnce
	})
	for _, l := range old {
		ledgers.drop(t, l)
	}
}
