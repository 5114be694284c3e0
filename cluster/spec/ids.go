package spec

import (
	"fmt"
	"regexp"
)

// A NodeID names one node of the cluster: 1 to 40 of a-z, 0-9 and '-',
// beginning with a letter or digit. It is the subject of the node's certificate.
type NodeID string

// A DeviceID names one GPU, MIG slice or CPU device in the whole cluster,
// as "gpu/GPU-8f3c..." or "cpu/n1". It is also the name of the actor's PID.
type DeviceID string

// An InstanceID names one loaded copy of a deployment. It is never used twice.
type InstanceID string

// A Role says what a node's certificate allows it to do.
type Role string

// The roles. A voter may also be a worker and a gateway; a sidecar is a
// gateway only, and a worker without "gateway" serves no clients.
const (
	RoleVoter   Role = "voter"   // may hold Raft's log and open the authority's key
	RoleWorker  Role = "worker"  // has devices and runs engines
	RoleGateway Role = "gateway" // serves clients
)

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// Valid tells why id cannot be a node's id, or nil.
func (id NodeID) Valid() error {
	if !name.MatchString(string(id)) {
		return fmt.Errorf("node id %q: want 1 to 40 of a-z, 0-9 and '-', not beginning with '-', for example gpu-rack2-07", string(id))
	}
	return nil
}

// ValidRole tells whether r is one of the roles.
func ValidRole(r Role) bool { return r == RoleVoter || r == RoleWorker || r == RoleGateway }
