//go:build mutant

package usage

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec/mutant"
	"github.com/lotabots/lotabots/cluster/wire"
)

// holdBack is how long a record is in memory alone, which a kill -9 takes.
const holdBack = 2 * time.Second

// heldBack keeps the record in place of the journal for a while, if the mutant is on, to show that the checks would
// notice it.
func (l *Ledger) heldBack(r *wire.UsageRecord) bool {
	if !mutant.On(mutant.AnswerBeforeRecord) {
		return false
	}
	kept := proto.Clone(r).(*wire.UsageRecord)
	time.AfterFunc(holdBack, func() { l.Note(kept) })
	return true
}
