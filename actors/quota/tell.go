package quota

import (
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// learn takes over what the owner of a limit knows of it.
func (a *Actor) learn(now time.Time, s *wire.QuotaState) {
	switch {
	case s.GetLimit() == "":
	case s.GetPerMinute() == 0:
		a.budget(s.GetLimit()).learn(s.GetPeriodMs(), s.GetGranted(), s.GetReturned())
	default:
		l := a.rates[s.GetLimit()]
		if l == nil {
			a.forgetIdle(now)
			l = &rate{}
			a.rates[s.GetLimit()] = l
		}
		l.rescale(now, s.GetPerMinute())
		l.told = now
		l.learn(now, time.Duration(min(max(s.GetEmptyUs(), 0), mostOwed.Microseconds()))*time.Microsecond)
	}
}

// collect takes up to Most of the states that are to be told.
func (a *Actor) collect(m *Collect) []*wire.QuotaState {
	now := a.cfg.Now()
	if m.All {
		for id := range a.rates {
			a.changed[id] = struct{}{}
		}
		for id := range a.budgets {
			a.changed[id] = struct{}{}
		}
	}
	from := a.changed
	if m.Budgets {
		from = a.unnoted
	}
	out := make([]*wire.QuotaState, 0, min(len(from), m.Most))
	for id := range from {
		if len(out) == m.Most {
			break
		}
		delete(from, id)
		if l := a.rates[id]; l != nil && !m.Budgets {
			out = append(out, &wire.QuotaState{Limit: id, PerMinute: l.perMinute, EmptyUs: l.known(now).Microseconds()})
		} else if b := a.budgets[id]; b != nil {
			out = append(out, &wire.QuotaState{Limit: id, PeriodMs: b.begin, Granted: b.granted, Returned: b.returned})
		}
	}
	return out
}
