package gateway

import (
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// scaleForm is the part of a deployment that says between which bounds its replicas are
// chosen; nil: replicas says how many run.
type scaleForm struct {
	Scale *spec.Scale `json:"scale"`
}

func (s *scaleForm) check(f *form, onDemand bool, engine string) {
	if s.Scale == nil {
		return
	}
	f.check(engine != external, "scale", "must be null: an external engine is not started from here")
	s.Scale.Check(onDemand, func(field, reason string) { f.add("scale."+field, reason) })
}

// scale is the record that it asks for, once it has been checked.
func (s *scaleForm) scale() *wire.Scale {
	if s.Scale == nil {
		return nil
	}
	out := &wire.Scale{Min: s.Scale.Min, Max: s.Scale.Max, QueueWaitMs: s.Scale.QueueWaitMS, SlotUse: s.Scale.SlotUse,
		TokensPerSecond: s.Scale.TokensPerSecond, UpWindowMs: s.Scale.UpWindow * 1000, DownWindowMs: s.Scale.DownWindow * 1000, MaxStep: s.Scale.MaxStep}
	for _, w := range s.Scale.Schedules {
		from, _ := spec.ParseMinute(w.From)
		to, _ := spec.ParseMinute(w.To)
		row := &wire.ScaleSchedule{From: uint32(from), To: uint32(to), Timezone: w.Timezone, Min: w.Min, Max: w.Max}
		for _, day := range w.Days {
			row.Days = append(row.Days, uint32(max(slices.Index(spec.ScaleDays, day), 0)))
		}
		out.Schedules = append(out.Schedules, row)
	}
	return out
}

// scaleOf is the form by which the record could have been asked for.
func scaleOf(s *wire.Scale) scaleForm {
	if s == nil {
		return scaleForm{}
	}
	out := &spec.Scale{Min: s.GetMin(), Max: s.GetMax(), QueueWaitMS: s.GetQueueWaitMs(), SlotUse: s.GetSlotUse(),
		TokensPerSecond: s.GetTokensPerSecond(), UpWindow: s.GetUpWindowMs() / 1000, DownWindow: s.GetDownWindowMs() / 1000, MaxStep: s.GetMaxStep(),
		Schedules: []spec.ScaleSchedule{}}
	for _, w := range s.GetSchedules() {
		row := spec.ScaleSchedule{Days: []string{}, From: spec.FormatMinute(int(w.GetFrom())), To: spec.FormatMinute(int(w.GetTo())),
			Timezone: w.GetTimezone(), Min: w.GetMin(), Max: w.GetMax()}
		for _, day := range w.GetDays() {
			row.Days = append(row.Days, spec.ScaleDays[day%7])
		}
		out.Schedules = append(out.Schedules, row)
	}
	return scaleForm{out}
}
