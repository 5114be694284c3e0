package consensus

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// peers is raft's transport, which also knows when each peer last agreed that
// this node leads. It corrects three things of raft.
//
// VerifyLeader may count an answer to a heartbeat that was sent before the read
// came: after a pause of the whole process such an answer can be older than
// another leader's election. What counts here is when the heartbeat was sent.
//
// A replication that fails is tried again after a pause that doubles up to 10 s,
// though heartbeats have long shown that the peer is back. A failed one is
// therefore held until a heartbeat gets through, so that a returning peer
// catches up, and counts for the quorum, at once.
//
// A candidate that is refused before the vote waits for up to two election
// timeouts until it asks again, though a peer that refuses since it has not missed
// the leader yet may agree a moment later, and need this candidate for the newer
// log. The question is therefore repeated meanwhile.
type peers struct {
	*raft.NetworkTransport

	replicates func(term uint64, id raft.ServerID) bool // this node leads in term, and id is to have the log
	campaigns  func(term uint64) bool                   // this node asks whether it may stand in term
	again      time.Duration                            // between two questions whether it may
	stopped    chan struct{}
	once       sync.Once

	mu struct {
		sync.Mutex
		acks    map[raft.ServerID]ack
		changed chan struct{} // closed at the next ack
	}
}

// An ack is a peer's last agreement.
type ack struct {
	term    uint64
	sent    time.Time // when the message that it answers was sent
	lastLog uint64    // the peer's last entry
}

func newPeers(t *raft.NetworkTransport) *peers {
	p := &peers{NetworkTransport: t, stopped: make(chan struct{}), replicates: func(uint64, raft.ServerID) bool { return false },
		campaigns: func(uint64) bool { return false }}
	p.mu.acks = map[raft.ServerID]ack{}
	p.mu.changed = make(chan struct{})
	return p
}

// AppendEntries is raft's. The returned error may come late, see peers.
func (p *peers) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	sent := time.Now()
	err := p.NetworkTransport.AppendEntries(id, target, args, resp)
	switch {
	case err == nil && resp.Success && resp.Term == args.Term:
		p.note(id, ack{term: args.Term, sent: sent, lastLog: resp.LastLog})
	case err != nil && !isHeartbeat(args):
		p.await(id, args.Term, time.Now())
	}
	return err
}

// RequestPreVote is raft's. A refusal may come late, see peers.
func (p *peers) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return p.persist(args.Term, func() (bool, error) {
		*resp = raft.RequestPreVoteResponse{}
		err := p.NetworkTransport.RequestPreVote(id, target, args, resp)
		return err == nil && (resp.Granted || resp.Term > args.Term), err
	})
}

// questions is how often a peer is asked at most in one campaign: raft begins the
// next, which asks anew, after two election timeouts at the latest.
const questions = 4

// persist asks until the answer is final, or there is no more reason to ask.
func (p *peers) persist(term uint64, ask func() (final bool, err error)) error {
	for n := 1; ; n++ {
		final, err := ask()
		if final || n == questions {
			return err
		}
		select {
		case <-time.After(p.again):
		case <-p.stopped:
			return err
		}
		if !p.campaigns(term) {
			return err
		}
	}
}

// isHeartbeat is how raft itself tells heartbeats from replication.
func isHeartbeat(a *raft.AppendEntriesRequest) bool {
	return a.PrevLogEntry == 0 && a.PrevLogTerm == 0 && len(a.Entries) == 0 && a.LeaderCommitIndex == 0
}

func (p *peers) note(id raft.ServerID, a ack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.mu.acks[id]; old.term == a.term && old.sent.After(a.sent) {
		return // heartbeats and replication overtake each other
	}
	p.mu.acks[id] = a
	close(p.mu.changed)
	p.mu.changed = make(chan struct{})
}

// last returns id's last ack in term, and a channel that is closed at the next of anybody.
func (p *peers) last(id raft.ServerID, term uint64) (ack, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.mu.acks[id]
	if a.term != term {
		a = ack{}
	}
	return a, p.mu.changed
}

// await returns when a message to id that was sent after since has been
// acknowledged, or when there is no more reason to send it any.
func (p *peers) await(id raft.ServerID, term uint64, since time.Time) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for p.replicates(term, id) {
		a, changed := p.last(id, term)
		if a.sent.After(since) {
			return
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-p.stopped:
			return
		}
	}
}

// release ends every wait.
func (p *peers) release() { p.once.Do(func() { close(p.stopped) }) }

// confirmed is a time at which a quorum of the voters still took self for the
// leader of term: the zero time if there was none. now is returned where self is
// the quorum.
func (p *peers) confirmed(self raft.ServerID, voters []raft.ServerID, term uint64, now time.Time) time.Time {
	need := len(voters)/2 + 1
	var sent []time.Time
	for _, id := range voters {
		if id == self {
			need--
			continue
		}
		a, _ := p.last(id, term)
		sent = append(sent, a.sent)
	}
	if need == 0 {
		return now
	}
	if need > len(sent) {
		return time.Time{}
	}
	slices.SortFunc(sent, func(a, b time.Time) int { return b.Compare(a) })
	return sent[need-1]
}
