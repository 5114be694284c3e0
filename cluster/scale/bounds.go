package scale

import (
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// bounds are how many replicas there are to be at least and at most at the moment: as
// the schedules that hold have it, of several the highest, or else the scale itself.
func bounds(s *wire.Scale, at time.Time) (least, most int, scheduled bool) {
	for _, w := range s.GetSchedules() {
		if !holds(w, at) {
			continue
		}
		high := w.GetMax()
		if high == 0 {
			high = s.GetMax()
		}
		least, most, scheduled = max(least, int(w.GetMin())), max(most, int(high)), true
	}
	if !scheduled {
		least, most = int(s.GetMin()), int(s.GetMax())
	}
	most = max(most, 1)
	return min(least, most), most, scheduled
}

// holds tells whether the schedule bounds at that moment. One that goes on beyond
// midnight is of the day on which it began.
func holds(w *wire.ScaleSchedule, at time.Time) bool {
	zone, err := time.LoadLocation(w.GetTimezone())
	if err != nil { // the admin API takes no such zone; another build may know more of them
		zone = time.UTC
	}
	local := at.In(zone)
	minute, from, to := uint32(local.Hour()*60+local.Minute()), w.GetFrom(), w.GetTo()
	today := uint32(local.Weekday())
	if from < to {
		return minute >= from && minute < to && on(w, today)
	}
	return minute >= from && on(w, today) || minute < to && on(w, (today+6)%7)
}

func on(w *wire.ScaleSchedule, day uint32) bool {
	return len(w.GetDays()) == 0 || slices.Contains(w.GetDays(), day)
}
