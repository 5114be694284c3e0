package node

import (
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/state"
)

func sessionEpochOf(s *state.Store) uint64 {
	text, _ := s.Setting(spec.SettingSessionEpoch)
	n, _ := strconv.ParseUint(text, 10, 64) // 0: it never rose
	return n
}

// endSessions begins a session epoch, where revocations of sessions may have been
// undone: by a restore, and by a recovery, whose survivor may lack the last writes.
// The epoch is above all that were ever in force, also those that the state knows
// nothing of any more: it is the time, Unix milliseconds, unless the last was later.
func (g *ground) endSessions(now time.Time) *wire.Command {
	epoch := max(sessionEpochOf(g.state)+1, uint64(max(now.UnixMilli(), 0)))
	return &wire.Command{Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: spec.SettingSessionEpoch, Value: strconv.FormatUint(epoch, 10)}}}
}
