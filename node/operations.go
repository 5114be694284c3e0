package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// operations are what the admin API does to nodes.
type operations struct{ n *Node }

func (o operations) Self() spec.NodeID { return o.n.id }

func (o operations) Drain(ctx context.Context, id spec.NodeID) error {
	return o.n.setState(ctx, id, wire.NodeState_NODE_STATE_DRAINING)
}

// Resume ends a drain, and the quarantine of the node's devices. A node that does not drain sees no change
// of its record, nor one that has not seen its drain yet, so its devices are told from here as well.
func (o operations) Resume(ctx context.Context, id spec.NodeID) error {
	was, _ := o.n.state.Node(string(id))
	if err := o.n.setState(ctx, id, wire.NodeState_NODE_STATE_ACTIVE); err != nil {
		return err
	}
	for _, d := range o.n.observed.devices() {
		if d.Node != id || d.Load.GetHealth() == device.Healthy {
			continue
		}
		err := o.n.resumeDevice(ctx, id, spec.DeviceID(d.Load.GetDevice()))
		if err != nil && was.GetState() == wire.NodeState_NODE_STATE_ACTIVE {
			return &spec.Error{Code: spec.CodeNotReady, Message: "the device " + d.Load.GetDevice() + " was not told: it gets no work", Err: err,
				Hint: "Ask a voter, or drain the node first"}
		}
	}
	return nil
}

var errNoActors = errors.New("this node commands no devices")

func (n *Node) resumeDevice(ctx context.Context, node spec.NodeID, id spec.DeviceID) error {
	if n.actors == nil {
		return errNoActors
	}
	ack, err := n.actors.Command(ctx, node, id, &wire.Resume{})
	if err == nil && ack.GetCode() != "" {
		err = errors.New(ack.GetMessage())
	}
	return err
}

func (o operations) TransferLeadership(ctx context.Context) error {
	if o.n.raft == nil || !o.n.raft.IsLeader() {
		e := spec.Errorf(spec.CodeNoLeader, "node %s does not lead the cluster.", o.n.id)
		e.Hint = "Ask the leader; lotabots status names it."
		return e
	}
	return o.n.raft.TransferLeadership(ctx)
}

func (n *Node) setState(ctx context.Context, id spec.NodeID, s wire.NodeState) error {
	return n.write(ctx, &wire.Command{Body: &wire.Command_SetNodeState{SetNodeState: &wire.SetNodeState{Id: string(id), State: s}}})
}

// write has the cluster agree on the command; that it was refused is an error too.
// It is told as of whoever asked for it, as far as ctx says.
func (n *Node) write(ctx context.Context, c *wire.Command) error {
	if caller, ok := spec.CallerOf(ctx); ok && c.GetPrincipal() == "" {
		c.Principal, c.From, c.Seen = caller.Principal, caller.From, caller.Seen
	}
	result, err := n.proposer.Propose(ctx, c)
	if err != nil {
		return err
	}
	if result.GetCode() != "" {
		return &spec.Error{Code: spec.Code(result.GetCode()), Message: result.GetMessage()}
	}
	n.follow(ctx, result.GetIndex())
	return nil
}

// followed is how long a write that was applied elsewhere waits for this node's copy.
const followed = 2 * time.Second

// follow waits until this node's copy of the state has what was written at index: who is
// answered by this node asks it next for what it has written.
func (n *Node) follow(ctx context.Context, index uint64) {
	limit, cancel := context.WithTimeout(ctx, followed)
	defer cancel()
	_ = n.reaches(limit, index) // the write stands, whenever this node hears of it
}

// Status is the cluster as this node sees it.
func (o operations) Status(ctx context.Context) (*gateway.Status, error) {
	n := o.n
	s := &gateway.Status{
		Cluster: n.member.Cluster, Self: string(n.id), StateIndex: n.state.Index(), StateAgeMS: n.stateAge().Milliseconds(), Version: n.version,
		Diverged: n.hashes.diverged(),
		Nodes:    []gateway.NodeStatus{}, Regions: []gateway.RegionStatus{}, Devices: []gateway.DeviceStatus{}, Instances: []gateway.InstanceStatus{},
	}
	if n.raft != nil {
		leader, _ := n.raft.Leader()
		s.Leader, s.Term = string(leader), n.raft.Term()
	} else if leader, ok := n.leaderHint(); ok {
		s.Leader = string(leader)
	}
	if err := n.following(); err != nil && n.stateAge() > freshEnough {
		s.Unfed = err.Error()
	}
	if err := n.db.Health(); err != nil {
		s.Disk = err.Error()
	}
	n.statusNodes(ctx, s)
	n.statusLoad(s)
	s.Transfers = n.shelf.Transfers(ctx)
	s.Lacking, s.Scaling = n.askLacking(ctx, spec.NodeID(s.Leader)), n.askScaling(ctx, spec.NodeID(s.Leader))
	return s, nil
}

func (n *Node) statusNodes(ctx context.Context, s *gateway.Status) {
	group := n.group.Members(ctx)
	regions, notes := map[string]*gateway.RegionStatus{}, n.notes.all()
	for _, r := range n.state.Nodes() {
		alive := n.alive(spec.NodeID(r.GetId()))
		s.Nodes = append(s.Nodes, gateway.NodeStatus{
			ID: r.GetId(), Roles: r.GetRoles(), Region: r.GetRegion(), Zone: r.GetZone(), State: stateName(r.GetState()),
			Alive: alive, Leader: r.GetId() == s.Leader, Voter: slices.Contains(group.Voters, spec.NodeID(r.GetId())),
			Spare: slices.Contains(group.Spares, spec.NodeID(r.GetId())), Fault: n.fault(spec.NodeID(r.GetId())).String(),
			Cluster: r.GetClusterAddr(), API: r.GetApiAddr(), Version: r.GetBuild(),
			Presets: presets(notes[spec.NodeID(r.GetId())]),
		})
		if r.GetState() == wire.NodeState_NODE_STATE_REMOVED {
			continue
		}
		region := regions[r.GetRegion()]
		if region == nil {
			region = &gateway.RegionStatus{Name: r.GetRegion()}
			regions[r.GetRegion()] = region
		}
		region.Nodes++
		if alive {
			region.Alive++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(regions)) {
		s.Regions = append(s.Regions, *regions[name])
	}
}

// alive tells whether the node is this one, or one that gossip reaches.
func (n *Node) alive(id spec.NodeID) bool { return id == n.id || n.gossip.Alive(id) }

func stateName(s wire.NodeState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "NODE_STATE_"))
}

// statusLoad adds devices and instances: as digests tell, and as the state
// places them where no digest has come yet.
func (n *Node) statusLoad(s *gateway.Status) {
	region := func(node string) *gateway.RegionStatus {
		r, _ := n.state.Node(node)
		for i := range s.Regions {
			if s.Regions[i].Name == r.GetRegion() {
				return &s.Regions[i]
			}
		}
		return &gateway.RegionStatus{}
	}
	told, placed := map[string]bool{}, map[string]*wire.Placement{}
	for _, p := range n.state.Placements() {
		placed[p.GetInstance()] = p
	}
	for _, d := range n.observed.devices() {
		load, where := d.Load, region(string(d.Node))
		where.Devices++
		s.Devices = append(s.Devices, gateway.DeviceStatus{
			ID: load.GetDevice(), Node: string(d.Node), Kind: load.GetKind(), Name: load.GetName(), MemoryTotal: load.GetMemoryTotal(),
			MemoryFree: load.GetMemoryFree(), Utilisation: load.GetUtilisation(), Health: load.GetHealth(), Draining: load.GetDraining(),
			AgeMS: time.Since(d.At).Milliseconds(),
		})
		for _, i := range load.GetInstances() {
			if i.GetState() == wire.InstanceState_INSTANCE_STATE_GONE {
				continue
			}
			told[i.GetInstance()] = true
			if i.GetState() == wire.InstanceState_INSTANCE_STATE_READY {
				where.Instances++
			}
			s.Instances = append(s.Instances, gateway.InstanceStatus{
				ID: i.GetInstance(), Deployment: i.GetDeployment(), Version: i.GetVersion(), Node: string(d.Node), Region: where.Name,
				Device: load.GetDevice(), State: instanceState(i.GetState()), Reason: i.GetReason(), Slots: i.GetSlots(), Ceiling: i.GetCeiling(), SlotsWhy: slotsReason(i.GetSlotsReason()), Running: i.GetRunning(),
				Phase: i.GetPhase(), Progress: min(i.GetProgress(), 100), OnDemand: placed[i.GetInstance()].GetOnDemand(), LoadS: i.GetLoadSeconds(),
				Queued: i.GetQueued(), KVUse: i.GetKvUse(), Context: i.GetContext(), PrefillTPS: i.GetPrefillTps(), DecodeTPS: i.GetDecodeTps(),
				Predicted: placed[i.GetInstance()].GetMemoryBytes(), Reserved: i.GetMemoryReserved(), Measured: i.GetMemoryMeasured(),
			})
		}
	}
	for _, p := range n.state.Placements() {
		if !told[p.GetInstance()] {
			s.Instances = append(s.Instances, gateway.InstanceStatus{
				ID: p.GetInstance(), Deployment: p.GetDeployment(), Version: p.GetVersion(), Node: p.GetNode(),
				Region: region(p.GetNode()).Name, Device: p.GetDevice(), State: "placed", OnDemand: p.GetOnDemand(), Predicted: p.GetMemoryBytes(),
			})
		}
	}
}

// slotsReason is empty where slots were not changed, and of a newer build's reason.
func slotsReason(r wire.SlotsReason) string {
	name, known := wire.SlotsReason_name[int32(r)]
	if r == 0 || !known {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(name, "SLOTS_REASON_"))
}

func instanceState(s wire.InstanceState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "INSTANCE_STATE_"))
}
