package spec

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	_ "time/tzdata" // time zones of schedules, also where the system has none
)

// A Scale is, in documents and in the admin API, between which bounds and by what a
// deployment's replicas are chosen. 0 is the default of each field but Max.
type Scale struct {
	Min uint32 `json:"min" yaml:"min"`
	Max uint32 `json:"max" yaml:"max"`
	// QueueWaitMS is what nine of ten requests wait for a place at most.
	QueueWaitMS uint32 `json:"queue_wait_p90_ms" yaml:"queue_wait_p90_ms,omitempty"`
	// SlotUse is the share of the slots that is to be taken.
	SlotUse float64 `json:"slot_use" yaml:"slot_use,omitempty"`
	// TokensPerSecond is what one replica is to do, prompts and answers together; 0: that is not gone by.
	TokensPerSecond float64         `json:"tokens_per_second" yaml:"tokens_per_second,omitempty"`
	UpWindow        int64           `json:"up_window_seconds" yaml:"up_window_seconds,omitempty"`
	DownWindow      int64           `json:"down_window_seconds" yaml:"down_window_seconds,omitempty"`
	MaxStep         uint32          `json:"max_step" yaml:"max_step,omitempty"`
	Schedules       []ScaleSchedule `json:"schedules" yaml:"schedules,omitempty"`
}

// A ScaleSchedule has other bounds for a part of each of its days.
type ScaleSchedule struct {
	Days     []string `json:"days" yaml:"days,flow,omitempty"` // of ScaleDays; none: every day
	From     string   `json:"from" yaml:"from"`                // such as 08:00
	To       string   `json:"to" yaml:"to"`                    // up to 24:00; not after From: on the next day
	Timezone string   `json:"timezone" yaml:"timezone,omitempty"`
	Min      uint32   `json:"min" yaml:"min,omitempty"`
	Max      uint32   `json:"max" yaml:"max,omitempty"` // 0: as without
}

// What holds where a Scale says nothing.
const (
	DefaultQueueWait  = 500 * time.Millisecond
	DefaultSlotUse    = 0.7
	DefaultDownWindow = 5 * time.Minute
)

// ScaleDays are the names of days, the first Sunday.
var ScaleDays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// MaxSchedules is how many a Scale has at most.
const MaxSchedules = 32

const (
	maxScale     = 10_000
	maxQueueWait = 600_000 // ms
	maxScaleTPS  = 1e9
	maxWindow    = 24 * 3600 // seconds
	minutesOfDay = 24 * 60
)

// Check calls bad with every field that is wrong and why, by its path below the scale.
func (s *Scale) Check(onDemand bool, bad func(field, reason string)) {
	check := func(ok bool, field, reason string) {
		if !ok {
			bad(field, reason)
		}
	}
	check(s.Max >= 1 && s.Max <= maxScale, "max", "must be from 1 to 10000: the most replicas that may run")
	check(s.Min <= max(s.Max, 1), "min", "must not be more than max")
	check(s.Min > 0 || onDemand, "min", "must be 1 at least, or the residency on-demand: what is always loaded cannot be at none")
	check(s.QueueWaitMS <= maxQueueWait, "queue_wait_p90_ms", "must be at most 600000; 0 is the default of 500")
	check(s.SlotUse == 0 || s.SlotUse >= 0.05 && s.SlotUse <= 1, "slot_use", "must be from 0.05 to 1; 0 is the default of 0.7")
	check(s.TokensPerSecond >= 0 && s.TokensPerSecond <= maxScaleTPS, "tokens_per_second", "must be from 0, which is for not going by it, to 1000000000")
	check(s.UpWindow >= 0 && s.UpWindow <= maxWindow, "up_window_seconds", "must be from 0 to 86400, a day")
	check(s.DownWindow >= 0 && s.DownWindow <= maxWindow, "down_window_seconds", "must be from 1 to 86400, a day; 0 is the default of 300")
	check(s.MaxStep <= maxScale, "max_step", "must be at most 10000; 0 is for as many as are wanted, and down by one")
	check(len(s.Schedules) <= MaxSchedules, "schedules", "must have at most 32 entries")
	for i := range s.Schedules {
		at := "schedules[" + strconv.Itoa(i) + "]."
		s.Schedules[i].check(s, onDemand, func(ok bool, field, reason string) { check(ok, at+field, reason) })
	}
}

func (w *ScaleSchedule) check(s *Scale, onDemand bool, check func(ok bool, field, reason string)) {
	for i, d := range w.Days {
		at := "days[" + strconv.Itoa(i) + "]"
		check(slices.Contains(ScaleDays, d), at, "must be one of sun, mon, tue, wed, thu, fri, sat")
		check(!slices.Contains(w.Days[:i], d), at, "is given twice")
	}
	const rule = "must be a time of the day such as 08:00"
	from, ok := ParseMinute(w.From)
	check(ok && from < minutesOfDay, "from", rule)
	_, ok = ParseMinute(w.To)
	check(ok, "to", rule+", up to 24:00")
	_, err := time.LoadLocation(w.Timezone)
	check(err == nil && w.Timezone != "Local", "timezone", "must be a zone's name such as Europe/Berlin; empty is UTC")
	most := w.Max
	if most == 0 {
		most = s.Max
	}
	check(w.Max <= maxScale, "max", "must be at most 10000; 0 is the max of the scale")
	check(w.Min <= most, "min", "must not be more than the max of the same hours")
	check(w.Min > 0 || onDemand, "min", "must be 1 at least, or the residency on-demand")
}

// ParseMinute reads a time of the day such as 08:00, up to 24:00, as a minute of it.
func ParseMinute(text string) (minute int, ok bool) {
	if len(text) != 5 || text[2] != ':' {
		return 0, false
	}
	for _, i := range []int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	hours, minutes := int(text[0]-'0')*10+int(text[1]-'0'), int(text[3]-'0')*10+int(text[4]-'0')
	minute = hours*60 + minutes
	return minute, minutes < 60 && minute <= minutesOfDay
}

// FormatMinute is the text that ParseMinute reads.
func FormatMinute(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// WaitBounds are the milliseconds by which waits for a place are counted: an entry counts
// those of at most so many, and the last one the others.
var WaitBounds = [...]uint32{1, 10, 25, 50, 100, 200, 350, 500, 750, 1000, 1500, 2000, 3000, 5000, 10000, 30000, math.MaxUint32}

// WaitBound is the entry of WaitBounds that counts the wait.
func WaitBound(wait time.Duration) int {
	ms := uint32(min(max(wait.Milliseconds(), 0), math.MaxUint32))
	i, _ := slices.BinarySearch(WaitBounds[:], ms)
	return i
}
