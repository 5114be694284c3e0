package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
)

// A scaleWish is a deployment's scale as flags describe it.
type scaleWish struct {
	scale     spec.Scale
	wait      time.Duration
	up, down  time.Duration
	schedules []string
}

// scaleFlags are those that mean nothing without --max.
var scaleFlags = []string{"min", "queue-wait", "slot-use", "target-tps", "up-window", "down-window", "max-step", "schedule"}

func (s *scaleWish) flags(f *pflag.FlagSet) {
	f.Uint32Var(&s.scale.Min, "min", 1, "with --max: copies that run at least; 0 wants --on-demand")
	f.Uint32Var(&s.scale.Max, "max", 0, "copies that run at most: the cluster chooses how many by what is asked for, beginning with --replicas; 0: always --replicas")
	f.DurationVar(&s.wait, "queue-wait", 0, "with --max: what nine of ten requests wait for a place at most; 0: 500ms")
	f.Float64Var(&s.scale.SlotUse, "slot-use", 0, "with --max: share of the slots that is to be taken, 0.05 to 1; 0: 0.7")
	f.Float64Var(&s.scale.TokensPerSecond, "target-tps", 0, "with --max: tokens per second that one copy is to do, prompts and answers; 0: not gone by")
	f.DurationVar(&s.up, "up-window", 0, "with --max: for so long more must be needed before there are more; requests that wait too long do not wait for it")
	f.DurationVar(&s.down, "down-window", 0, "with --max: for so long fewer must be needed before there are fewer; 0: 5m")
	f.Uint32Var(&s.scale.MaxStep, "max-step", 0, "with --max: copies by which it changes at a time; 0: up by as many as are needed, down by one")
	f.StringArrayVar(&s.schedules, "schedule", nil, `with --max: other bounds at times, such as "days=mon,fri from=08:00 to=18:00 timezone=Europe/Berlin min=2 max=6"; may be repeated`)
}

// row is the scale that was wished for; nil: none was.
func (s *scaleWish) row(c *cobra.Command) (*spec.Scale, error) {
	if s.scale.Max == 0 {
		for _, name := range scaleFlags {
			if f := c.Flags().Lookup(name); f != nil && f.Changed {
				return nil, misused(c, "--"+name+" needs --max, the most copies that may run")
			}
		}
		return nil, nil
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
		unit  time.Duration
	}{{"queue-wait", s.wait, time.Millisecond}, {"up-window", s.up, time.Second}, {"down-window", s.down, time.Second}} {
		if d.value < 0 || d.value%d.unit != 0 || d.value > 24*time.Hour {
			return nil, misused(c, fmt.Sprintf("--%s must be from 0 to 24h, in whole parts of %v", d.flag, d.unit))
		}
	}
	out := s.scale
	out.QueueWaitMS, out.UpWindow, out.DownWindow = uint32(s.wait.Milliseconds()), int64(s.up.Seconds()), int64(s.down.Seconds())
	out.Schedules = []spec.ScaleSchedule{}
	for _, text := range s.schedules {
		w, err := scheduleOf(text)
		if err != nil {
			return nil, misused(c, err.Error())
		}
		out.Schedules = append(out.Schedules, w)
	}
	return &out, nil
}

// scheduleOf reads what --schedule says.
func scheduleOf(text string) (w spec.ScaleSchedule, err error) {
	w.Days = []string{}
	for _, part := range strings.Fields(text) {
		key, value, _ := strings.Cut(part, "=")
		var n uint64
		switch key {
		case "days":
			w.Days = strings.Split(value, ",")
		case "from":
			w.From = value
		case "to":
			w.To = value
		case "timezone":
			w.Timezone = value
		case "min":
			n, err = strconv.ParseUint(value, 10, 32)
			w.Min = uint32(n)
		case "max":
			n, err = strconv.ParseUint(value, 10, 32)
			w.Max = uint32(n)
		default:
			err = fmt.Errorf("%q is none of days, from, to, timezone, min, max", key)
		}
		if err != nil {
			return w, fmt.Errorf("--schedule %q: %w", text, err)
		}
	}
	return w, nil
}

// copies is how many of a deployment run, for people.
func copies(replicas uint32, s *spec.Scale) string {
	if s == nil {
		return strconv.Itoa(int(replicas))
	}
	return fmt.Sprintf("%d to %d", s.Min, s.Max)
}

func scaleRows(w io.Writer, list []gateway.ScaleStatus) {
	if len(list) == 0 {
		return
	}
	row(w)
	row(w, "SCALED", "MIN", "MAX", "WANTED", "READY", "REASON", "BECAUSE")
	for _, s := range list {
		row(w, s.Deployment, s.Min, s.Max, s.Wanted, s.Ready, s.Reason, s.Because)
	}
}
