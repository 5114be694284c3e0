package gateway

// Status is the answer of GET /admin/v1/status: the cluster as one node sees it.
type Status struct {
	Cluster    string           `json:"cluster"`
	Self       string           `json:"self"`
	Leader     string           `json:"leader"` // empty: none is known
	Term       uint64           `json:"term"`
	StateIndex uint64           `json:"state_index"`
	StateAgeMS int64            `json:"state_age_ms"`
	Diverged   string           `json:"state_diverged"`     // how this node's copy of the state differs from the cluster's; empty: it is not known to
	Unfed      string           `json:"state_not_followed"` // why this node's copy is not kept up; empty: it is, or needs not be
	Disk       string           `json:"disk"`               // why this node cannot write its state; empty: it can
	Version    string           `json:"version"`
	Nodes      []NodeStatus     `json:"nodes"`
	Regions    []RegionStatus   `json:"regions"`
	Devices    []DeviceStatus   `json:"devices"`
	Instances  []InstanceStatus `json:"instances"`
	Lacking    []LackStatus     `json:"lacking"`
	Scaling    []ScaleStatus    `json:"scaling"`
	Transfers  []ModelTransfer  `json:"transfers"` // model files on their way to nodes
}

// ScaleStatus is how many copies the leader wants of a deployment that has a scale.
type ScaleStatus struct {
	Deployment string `json:"deployment"`
	Min        int    `json:"min"` // that holds now
	Max        int    `json:"max"`
	Wanted     int    `json:"wanted"`
	Ready      int    `json:"ready"`
	Reason     string `json:"reason"`
	Because    string `json:"because"` // for people
}

// LackStatus is why a deployment has fewer replicas than it wants, as the leader
// tells. What a device has refused is told as the reason of that instance.
type LackStatus struct {
	Deployment string `json:"deployment"`
	Version    uint64 `json:"version"`
	Reason     string `json:"reason"`
}

// NodeStatus is one node.
type NodeStatus struct {
	ID      string   `json:"id"`
	Roles   []string `json:"roles"`
	Region  string   `json:"region"`
	Zone    string   `json:"zone"`
	State   string   `json:"state"` // of the record: active, draining, removed
	Alive   bool     `json:"alive"` // as gossip tells
	Leader  bool     `json:"leader"`
	Voter   bool     `json:"voter"` // holds Raft's log and votes at present
	Spare   bool     `json:"spare"` // holds Raft's log, without a vote
	Fault   string   `json:"fault"` // what it tells that it cannot do though it lives; empty: nothing
	Cluster string   `json:"cluster"`
	API     string   `json:"api"`
	Version string   `json:"version"`
	// Presets of engines that it has told of; none where it has not, or runs no engines.
	Presets []PresetStatus `json:"presets"`
}

// PresetStatus is an engine preset of a node.
type PresetStatus struct {
	Name         string   `json:"name"`
	Version      string   `json:"version"`      // of its program; empty: not known
	Capabilities []string `json:"capabilities"` // without any option
	Lacks        string   `json:"lacks"`        // why the node cannot run it; empty: it can
	Own          bool     `json:"own"`          // described in the node's file
}

// RegionStatus sums up one region.
type RegionStatus struct {
	Name      string `json:"name"`
	Nodes     int    `json:"nodes"`
	Alive     int    `json:"alive"`
	Devices   int    `json:"devices"`
	Instances int    `json:"instances"` // ready
}

// DeviceStatus is one device.
type DeviceStatus struct {
	ID          string `json:"id"`
	Node        string `json:"node"`
	Kind        string `json:"kind"`
	Name        string `json:"name"`
	MemoryTotal uint64 `json:"memory_total_bytes"`
	MemoryFree  uint64 `json:"memory_free_bytes"`
	Utilisation uint32 `json:"utilisation_percent"`
	Health      string `json:"health"`
	Draining    bool   `json:"draining"`
	AgeMS       int64  `json:"age_ms"` // of what is told here
}

// InstanceStatus is one instance.
type InstanceStatus struct {
	ID         string  `json:"id"`
	Deployment string  `json:"deployment"`
	Version    uint64  `json:"version"`
	Node       string  `json:"node"`
	Region     string  `json:"region"`
	Device     string  `json:"device"`
	State      string  `json:"state"`                      // placed, cold, loading, ready, draining, restarting, failed
	Phase      string  `json:"phase,omitempty"`            // of a load: memory (it waits for some), fetch, launch, load, warm-up
	Progress   uint32  `json:"progress_percent,omitempty"` // of the phase, where it is told
	Reason     string  `json:"reason,omitempty"`
	OnDemand   bool    `json:"on_demand"`
	LoadS      float32 `json:"load_seconds,omitempty"` // that its last load took
	Slots      uint32  `json:"slots"`
	Ceiling    uint32  `json:"slots_ceiling,omitempty"` // that slots could be, as its engine has it
	SlotsWhy   string  `json:"slots_reason,omitempty"`  // they were last changed, where they adapt
	Running    uint32  `json:"running"`
	Queued     uint32  `json:"queued"`
	KVUse      float32 `json:"kv_use"`
	Context    uint32  `json:"context"`
	PrefillTPS float32 `json:"prefill_tokens_per_second"`
	DecodeTPS  float32 `json:"decode_tokens_per_second"`
	// Bytes: as placed, as the device holds for it now, and as its engine was seen to take; 0: not, or not yet.
	Predicted uint64 `json:"memory_predicted_bytes"`
	Reserved  uint64 `json:"memory_reserved_bytes"`
	Measured  uint64 `json:"memory_measured_bytes"`
}
