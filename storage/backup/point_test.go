package backup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestChoose(t *testing.T) {
	dir, key := t.TempDir(), pair(t)
	s := newServer(t, t.TempDir())
	defer s.close()
	save := func(name string, raw []byte) {
		try(t, os.WriteFile(filepath.Join(dir, name+Extension), raw, 0o600))
	}
	write := func(to uint64) {
		for s.last < to {
			s.setting(int(s.last))
		}
	}
	write(10)
	raw, _ := s.backup(key)
	save("a", raw) // 0 to 10
	s.snapshot(0)
	write(20)
	raw, _ = s.backup(key)
	save("b", raw) // 10 to 20
	write(30)
	s.snapshot(0)
	write(35)
	raw, _ = s.backup(key)
	save("c", raw) // 30 to 35
	save("damaged", []byte("LOTABOTS-BACKUP 2 {"))
	for _, c := range []struct {
		at   Point
		want string
	}{
		{Point{}, "c"}, {Point{Index: 35}, "c"}, {Point{Index: 30}, "c"}, {Point{Index: 36}, ""}, {Point{Index: 25}, ""},
		{Point{Index: 20}, "b"}, {Point{Index: 10}, "b"}, {Point{Index: 9}, "a"}, {Point{Index: 1}, "a"},
		{Point{Time: s.at(33)}, "c"}, {Point{Time: s.at(15)}, "b"}, {Point{Time: s.at(1)}, "a"}, {Point{Time: s.at(0)}, ""}, {Point{Time: s.at(46)}, ""},
		{Point{Time: s.at(33).In(time.FixedZone("", 3600))}, "c"},
	} {
		f, err := Choose(dir, "", c.at)
		if got := strings.TrimSuffix(filepath.Base(f.Path), Extension); err == nil && got != c.want || err != nil && (c.want != "" || !errors.Is(err, ErrPoint)) {
			t.Errorf("%v: %s (%v), want %q", c.at, got, err, c.want)
		}
	}
	if _, err := Choose(dir, "", Point{Index: 25}); err == nil || !strings.Contains(err.Error(), "b.lbk: index 10 to 20, 2026-11-25T12:00:11Z to") {
		t.Errorf("the error is %v", err)
	}
	raw, _ = written(t, filled(t, 2), key.Recipient())
	save("other", raw)
	if _, err := Choose(dir, "", Point{}); err == nil || !strings.Contains(err.Error(), "lb-0123, lb-1") {
		t.Errorf("of two clusters: %v", err)
	}
	if f, err := Choose(dir, "lb-0123", Point{}); err != nil || filepath.Base(f.Path) != "other.lbk" {
		t.Errorf("of the other cluster: %s (%v)", f.Path, err)
	}
	if _, err := Choose(dir, "lb-9", Point{}); !errors.Is(err, ErrPoint) || !strings.Contains(err.Error(), "none") {
		t.Errorf("of no cluster: %v", err)
	}
	if _, err := Choose(filepath.Join(dir, "nowhere"), "", Point{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no directory: %v", err)
	}
}
