package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/state"
)

// epochSetting names the setting whose first word counts how often the cluster
// was recovered from a lost quorum. It fences the voters off that were given up:
// two of them, back from the dead, would still be a quorum to each other. By its
// slash it is none that the admin API shows or writes: an old export must not
// lower it.
const epochSetting = "cluster/recovery-epoch"

const (
	epochEvery = 2 * time.Second // between two questions to the other voters
	epochLimit = time.Second     // that they have for an answer

	removalEvery = 10 * time.Second // between two questions of a node that has no vote

	joinHeard = 3 * time.Second // that voters have to hear of who has just joined
	joinLook  = 100 * time.Millisecond
)

func epochOf(s *state.Store) uint64 {
	text, _ := s.Setting(epochSetting)
	first, _, _ := strings.Cut(text, " ")
	n, _ := strconv.ParseUint(first, 10, 64) // 0: the cluster was never recovered
	return n
}

// A standing is what one node says of another's.
type standing struct {
	Epoch   uint64 `json:"epoch"`
	Removed bool   `json:"removed"` // the node is no member, or its id is another machine's
	Gone    bool   `json:"gone"`    // the node was removed with the very certificate that it asks about
}

// withEpoch answers GET /epoch beside what is there for strangers. It must not
// ask for a certificate: those that it matters to are refused everywhere else.
func (n *Node) withEpoch(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.HandleFunc("GET /epoch", func(w http.ResponseWriter, r *http.Request) {
		s := standing{Epoch: epochOf(n.state)}
		if record, known := n.state.Node(r.URL.Query().Get("node")); known {
			mark := pki.MarkOf(record.GetCertSerial())
			s.Removed = record.GetState() == wire.NodeState_NODE_STATE_REMOVED || mark != "" && mark != r.URL.Query().Get("mark")
			s.Gone = gone(record, r.URL.Query().Get("serial"))
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s)
	})
	return mux
}

// leftBehind asks the other voters whether the cluster was recovered without this
// node, or has removed it. A voter that lags behind a recovery of which it is a part
// is none of those. No removal is believed from before a recovery: those that were
// given up may have removed the survivor.
func (n *Node) leftBehind(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, epochLimit)
	defer cancel()
	var asking sync.WaitGroup
	found := make(chan error, 1)
	for _, voter := range n.voters() {
		asking.Go(func() {
			s, err := n.askStanding(ctx, voter)
			own := epochOf(n.state)
			var left error
			switch {
			case err != nil:
				return
			case s.Removed && s.Epoch > own && n.has(spec.RoleVoter):
				left = &spec.Error{
					Code: spec.CodeNodeRemoved,
					Message: fmt.Sprintf("The cluster was recovered from a lost quorum without node %s: node %s is of recovery %d, and this one's data of %d. "+
						"It must not serve or vote any more, and does not start.", n.id, voter, s.Epoch, own),
					Hint: "Move the data directory away, make a join token on a member (lotabots tokens create --role voter), and join again with lotabots join. " +
						"What only the old data has is not in the cluster",
				}
			case s.Gone && s.Epoch >= own:
				left = removedError(n.id, "node "+string(voter)+" says so")
			default:
				return
			}
			select {
			case found <- left:
				cancel()
			default:
			}
		})
	}
	asking.Wait()
	select {
	case err := <-found:
		return err
	default:
		return nil
	}
}

// mayVote is leftBehind's answer before the node votes. One that has no state yet may have joined
// a moment ago, in place of a removed one of its name: a voter that lags does not know it yet.
func (n *Node) mayVote(ctx context.Context) error {
	for end := time.Now().Add(joinHeard); ; {
		err := n.leftBehind(ctx)
		if err == nil || n.state.Index() > 0 || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(joinLook):
		}
	}
}

func (n *Node) askStanding(ctx context.Context, voter spec.NodeID) (s standing, err error) {
	who := url.Values{"node": {string(n.id)}, "mark": {n.identity.Mark()}, "serial": {n.serial()}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(voter)+"/epoch?"+who.Encode(), nil)
	if err != nil {
		return s, err
	}
	answer, err := n.port.Client("join").Do(request)
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK { // an older build's
		return s, fmt.Errorf("node %s: HTTP %d", voter, answer.StatusCode)
	}
	return s, json.NewDecoder(io.LimitReader(answer.Body, 1<<10)).Decode(&s)
}

// watchFence stops a voter that has come back while nobody could tell it that it
// was given up, and any node that was removed. Nodes without a vote do no harm
// meanwhile: they ask others seldom, for there may be many.
func (n *Node) watchFence(ctx context.Context) {
	tick := time.NewTicker(epochEvery)
	defer tick.Stop()
	var asked time.Time
	for {
		err := n.removedBy(n.raft)
		if now := time.Now(); err == nil && (n.raft != nil || now.Sub(asked) >= removalEvery) {
			asked = now
			err = n.leftBehind(ctx)
		}
		if err != nil && ctx.Err() == nil {
			n.halt(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// halted is why a running node must end.
type halted struct {
	once sync.Once
	done chan struct{}
	why  error // set before done is closed
}

// Halted is closed when the node has found that it must not go on: it votes and
// writes no more, and whoever runs it is to shut it down and end with HaltReason.
func (n *Node) Halted() <-chan struct{} { return n.ended.done }

// HaltReason is why, once Halted is closed.
func (n *Node) HaltReason() error { return n.ended.why }

func (n *Node) halt(why error) {
	n.ended.once.Do(func() {
		n.log.Error("this node halts", "error", why)
		n.ended.why = why
		limit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if n.raft != nil {
			if err := n.raft.Shutdown(limit); err != nil {
				n.log.Error("Raft did not end", "error", err)
			}
		}
		close(n.ended.done)
	})
}
