package consensus

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestHeartbeatsDoNotMakeACopyNew: a follower that gets heartbeats in the leader's
// name, and nothing of the log, knows that its copy ages. So it is with what waited
// while it was stopped, or its link frozen.
func TestHeartbeatsDoNotMakeACopyNew(t *testing.T) {
	t.Parallel()
	c := grow(t, "n1", "n2", "n3")
	leader := c.leader("n1", "n2", "n3")
	follower := c.others(leader, "n1", "n2", "n3")[0]
	eventually(t, 30*time.Second, "the follower is current", func() bool { return follower.Age() < time.Second })
	waited := c.net.listen(t, "n9", "") // from where nothing is cut
	defer waited.close()
	stream := newStream(waited)
	defer stream.cut()
	trans := raft.NewNetworkTransport(stream, 1, time.Second, nil)
	defer trans.Close()
	beat := raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader.id), Addr: []byte(leader.port.Addr())}, Term: leader.Term()}
	heal := c.isolate(follower, "n1", "n2", "n3")
	defer heal()
	took := 0
	eventually(t, 30*time.Second, "its copy ages", func() bool {
		var answer raft.AppendEntriesResponse
		if err := trans.AppendEntries(raft.ServerID(follower.id), raft.ServerAddress(follower.port.Addr()), &beat, &answer); err == nil && answer.Success {
			took++
		}
		return follower.Age() > 1500*time.Millisecond && took > 0 && time.Since(follower.raft.LastContact()) < time.Second
	})
}
