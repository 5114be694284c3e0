package consensus

import (
	"encoding/gob"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// machine is a state machine of nodes and settings that applies a request once.
type machine struct {
	mu sync.Mutex
	d  machineData
}

type machineData struct {
	Index    uint64
	Nodes    map[string][]byte
	Settings map[string]string
	Applied  map[string]uint64 // request id: index
	Order    []string          // request ids as they were applied
}

func newMachine() *machine {
	return &machine{d: machineData{Nodes: map[string][]byte{}, Settings: map[string]string{}, Applied: map[string]uint64{}}}
}

func (m *machine) Apply(l *raft.Log) any {
	c := &wire.Command{}
	if err := proto.Unmarshal(l.Data, c); err != nil {
		panic(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.Index <= m.d.Index {
		return &wire.Result{Index: l.Index}
	}
	m.d.Index = l.Index
	if at, again := m.d.Applied[c.RequestId]; again {
		return &wire.Result{Index: at, Replayed: true}
	}
	m.d.Applied[c.RequestId] = l.Index
	m.d.Order = append(m.d.Order, c.RequestId)
	switch b := c.Body.(type) {
	case *wire.Command_PutNode:
		m.d.Nodes[b.PutNode.Node.Id], _ = proto.Marshal(b.PutNode.Node)
	case *wire.Command_SetNodeState:
		n := &wire.Node{}
		if m.d.Nodes[b.SetNodeState.Id] == nil {
			return &wire.Result{Index: l.Index, Code: string(spec.CodeNotFound), Message: "no such node"}
		}
		_ = proto.Unmarshal(m.d.Nodes[b.SetNodeState.Id], n)
		n.State = b.SetNodeState.State
		m.d.Nodes[n.Id], _ = proto.Marshal(n)
	case *wire.Command_PutSetting:
		m.d.Settings[b.PutSetting.Name] = b.PutSetting.Value
	}
	return &wire.Result{Index: l.Index}
}

func (m *machine) StoreConfiguration(index uint64, _ raft.Configuration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.d.Index = max(m.d.Index, index)
}

func (m *machine) Index() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.d.Index
}

func (m *machine) nodes() []*wire.Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*wire.Node
	for _, id := range slices.Sorted(maps.Keys(m.d.Nodes)) {
		n := &wire.Node{}
		_ = proto.Unmarshal(m.d.Nodes[id], n)
		out = append(out, n)
	}
	return out
}

func (m *machine) setting(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.d.Settings[name]
}

func (m *machine) order() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.d.Order)
}

func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.d
	d.Nodes, d.Settings, d.Applied, d.Order = maps.Clone(d.Nodes), maps.Clone(d.Settings), maps.Clone(d.Applied), slices.Clone(d.Order)
	return d, nil
}

func (d machineData) Persist(sink raft.SnapshotSink) error {
	if err := gob.NewEncoder(sink).Encode(d); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

func (d machineData) Release() {}

func (m *machine) Restore(r io.ReadCloser) error {
	d := newMachine().d
	if err := gob.NewDecoder(r).Decode(&d); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.Index > m.d.Index {
		m.d = d
	}
	return nil
}
