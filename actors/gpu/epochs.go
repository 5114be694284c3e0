package gpu

import "github.com/lotabots/lotabots/cluster/spec"

// maxEpochs is how many instances' epochs an actor remembers.
const maxEpochs = 4096

// epochs remembers the highest epoch seen for each instance, also for those that
// are gone, so that a command which was long under way has no effect. The oldest
// instances are forgotten first.
type epochs struct {
	most  int
	seen  map[spec.InstanceID]uint64
	order []spec.InstanceID // as first seen
}

func newEpochs(most int) epochs { return epochs{most: most, seen: map[spec.InstanceID]uint64{}} }

// admit notes epoch, or tells that a higher one was seen.
func (e *epochs) admit(id spec.InstanceID, epoch uint64) error {
	last, known := e.seen[id]
	if epoch < last {
		return spec.Errorf(spec.CodeStaleEpoch, "Instance %s is at epoch %d; the command is of epoch %d.", id, last, epoch)
	}
	e.seen[id] = epoch
	if known {
		return nil
	}
	e.order = append(e.order, id)
	if len(e.order) > e.most {
		delete(e.seen, e.order[0])
		e.order = e.order[1:]
	}
	return nil
}
