package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

// TestFloorsChangeNothing: a state that has been open for long comes to the same
// records as one that has just been opened, whatever the proposers' clocks are like.
func TestFloorsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := usual
		small.requests, small.life = 6, 36*time.Hour
		long, fresh := start(t, vfs.NewMem(), small), start(t, vfs.NewMem(), small)
		defer func() { long.db.Close(); fresh.db.Close() }()
		hour := time.Hour.Milliseconds()
		commands := []*wire.Command{putUser(&wire.User{Id: "u", Name: "u"}, 0)}
		for i := range rapid.IntRange(1, 60).Draw(t, "commands") {
			now := int64(2*i+rapid.IntRange(-60, 0).Draw(t, "behind")) * hour
			id := fmt.Sprint(rapid.IntRange(0, 40).Draw(t, "session"))
			var c *wire.Command
			switch rapid.IntRange(0, 3).Draw(t, "command") {
			case 0, 1:
				c = putSession(id, "u", now+int64(rapid.IntRange(1, 50).Draw(t, "life"))*hour)
			case 2:
				c = refresh(id, "f", "1", "2")
			default:
				c = revokeSession(id, "")
			}
			c.RequestId = fmt.Sprint(i - rapid.IntRange(0, 8).Draw(t, "again"))
			commands = append(commands, at(now, c))
		}
		for i, c := range commands {
			fresh.writing.floors = floors{}
			long.do(t, c)
			fresh.do(t, c)
			if i%8 == 0 || i == len(commands)-1 {
				sameHash(t, "open for long and opened just now", long.Store, fresh.Store)
			}
		}
	})
}

// TestOldAnswersCostNothing: what was removed is not gone over again and again.
func TestOldAnswersCostNothing(t *testing.T) {
	small := usual
	small.requests = 100
	r := start(t, vfs.NewMem(), small)
	defer func() { r.db.Close() }()
	for i := range 1000 {
		c := putSetting("x", "y")
		c.RequestId = fmt.Sprint(i)
		r.ok(t, c)
	}
	if got, want := r.writing.floors.answers, uint64(901); got != want {
		t.Errorf("the walk for old answers begins at entry %d, want %d", got, want)
	}
	for _, ms := range []int64{0, 1000} {
		r.ok(t, at(1000, putUser(&wire.User{Id: fmt.Sprint(ms), Name: fmt.Sprint(ms)}, 0)))
		day := sessionKept.Milliseconds()
		r.ok(t, at(3*day+ms, putSession(fmt.Sprint("s", ms), "0", 9*day)))
		if got, want := r.writing.floors.sessions, 2*day+ms; got != want {
			t.Errorf("the walk for ended sessions begins at %d, want %d", got, want)
		}
	}
}
