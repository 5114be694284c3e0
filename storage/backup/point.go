package backup

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Point is a moment of the state: as of an index, or of a time by the clocks of
// the proposers. The zero Point is the newest.
type Point struct {
	Index uint64
	Time  time.Time
}

func (p Point) String() string {
	switch {
	case p.Index != 0:
		return fmt.Sprintf("index %d", p.Index)
	case !p.Time.IsZero():
		return stamp(p.Time)
	}
	return "the newest state"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z07:00") }

// ErrPoint is wrapped where a backup does not reach to a point.
var ErrPoint = errors.New("the point cannot be had")

// Range says in words which points the backup restores to.
func (m Manifest) Range() string {
	if m.From == m.Index {
		return fmt.Sprintf("index %d alone, of %s", m.Index, stamp(m.ToTime))
	}
	return fmt.Sprintf("index %d to %d, %s to %s", max(m.From, 1), m.Index, stamp(m.FromTime), stamp(m.ToTime))
}

// Holds tells whether the backup restores to the point.
func (m Manifest) Holds(p Point) bool {
	switch {
	case p.Index != 0:
		return m.From <= p.Index && p.Index <= m.Index
	case !p.Time.IsZero():
		return !p.Time.Before(m.FromTime) && !p.Time.After(m.ToTime)
	}
	return true
}

// Choose picks the backup in a directory that a point can be restored from, by
// what the backups say in clear: of several, the one with the least to apply, and
// of those the newest. cluster may be empty where all are of one cluster.
func Choose(dir, cluster string, p Point) (File, error) {
	all, err := List(dir)
	if err != nil {
		return File{}, err
	}
	clusters := map[string]bool{}
	all = slices.DeleteFunc(all, func(f File) bool {
		if f.Err != nil || cluster != "" && f.Manifest.Cluster != cluster {
			return true
		}
		clusters[f.Manifest.Cluster] = true
		return false
	})
	if len(clusters) > 1 {
		var names []string
		for name := range clusters {
			names = append(names, name)
		}
		slices.Sort(names)
		return File{}, fmt.Errorf("%s has backups of several clusters: name one of %s", dir, strings.Join(names, ", "))
	}
	best := -1
	for i, f := range all {
		if !f.Manifest.Holds(p) {
			continue
		}
		if best < 0 || p == (Point{}) && f.Manifest.Index > all[best].Manifest.Index || p != (Point{}) && f.Manifest.From > all[best].Manifest.From {
			best = i
		}
	}
	if best < 0 {
		return File{}, fmt.Errorf("%w: no backup in %s reaches to %v; %s", ErrPoint, dir, p, ranges(all))
	}
	return all[best], nil
}

func ranges(all []File) string {
	if len(all) == 0 {
		return "none is there that can be read"
	}
	var out strings.Builder
	out.WriteString("these are there:")
	for _, f := range all {
		fmt.Fprintf(&out, "\n  %s: %s", filepath.Base(f.Path), f.Manifest.Range())
	}
	return out.String()
}
