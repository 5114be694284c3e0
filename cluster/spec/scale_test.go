package spec

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func problems(s *Scale, onDemand bool) (out []string) {
	s.Check(onDemand, func(field, _ string) { out = append(out, field) })
	return out
}

func TestScaleCheckListsAll(t *testing.T) {
	good := Scale{Min: 1, Max: 4, SlotUse: 0.5, Schedules: []ScaleSchedule{{Days: []string{"mon", "fri"}, From: "22:00", To: "06:00", Timezone: "Europe/Berlin", Min: 2, Max: 9},
		{From: "00:00", To: "24:00", Min: 1}}}
	if p := problems(&good, false); p != nil {
		t.Errorf("a good one: %v", p)
	}
	if p := problems(&Scale{Max: 1}, true); p != nil {
		t.Errorf("to zero on demand: %v", p)
	}
	bad := Scale{Min: 0, Max: 0, QueueWaitMS: 600_001, SlotUse: 0.01, TokensPerSecond: -1, UpWindow: -1, DownWindow: 86_401, MaxStep: 10_001,
		Schedules: []ScaleSchedule{{Days: []string{"mon", "mon", "day"}, From: "24:00", To: "24:01", Timezone: "Mars", Min: 5, Max: 4}, {From: "8:00", To: "1a:00"}}}
	want := "max min queue_wait_p90_ms slot_use tokens_per_second up_window_seconds down_window_seconds max_step schedules[0].days[1] " +
		"schedules[0].days[2] schedules[0].from schedules[0].to schedules[0].timezone schedules[0].min schedules[1].from schedules[1].to schedules[1].min"
	if got := strings.Join(problems(&bad, false), " "); got != want {
		t.Errorf("problems\n%s, want\n%s", got, want)
	}
}

func TestMinutes(t *testing.T) {
	for m := range 24*60 + 1 {
		if got, ok := ParseMinute(FormatMinute(m)); !ok || got != m {
			t.Fatalf("%d is read as %d, %v", m, got, ok)
		}
	}
	for _, bad := range []string{"", "8:00", "08:60", "24:01", "99:99", "08-00", "08:0x", "008:0"} {
		if _, ok := ParseMinute(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestWaitBound(t *testing.T) {
	if !slices.IsSorted(WaitBounds[:]) {
		t.Fatal("the bounds are not in order")
	}
	for wait, want := range map[time.Duration]uint32{-1: 1, 0: 1, time.Millisecond: 1, 2 * time.Millisecond: 10, 500 * time.Millisecond: 500, time.Hour: WaitBounds[len(WaitBounds)-1]} {
		if got := WaitBounds[WaitBound(wait)]; got != want {
			t.Errorf("%v counts as %d, want %d", wait, got, want)
		}
	}
}
