package gossip

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/hashicorp/memberlist"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Member is one living node. Nobody may change what its Roles hold.
type Member struct {
	ID     spec.NodeID
	Roles  []spec.Role
	Region string
	Zone   string
	Build  string
	Level  uint32 // feature level of its build
	API    string // host:port for clients; empty: it serves none
	Addr   string // ip:port of its cluster port
	Fault  Fault  // of which it tells
}

// A Fault is what a living member cannot do.
type Fault uint8

// The faults. A later build may tell of others.
const (
	Faultless   Fault = iota
	DiskStalled       // its disk does not answer at present
	DiskFailed        // its disk takes no more writes until the node starts anew
)

func (f Fault) String() string {
	switch f {
	case Faultless:
		return ""
	case DiskStalled:
		return "disk stalled"
	case DiskFailed:
		return "disk failed"
	}
	return "a fault that this build does not know"
}

func (m Member) equal(o Member) bool {
	return m.ID == o.ID && slices.Equal(m.Roles, o.Roles) && m.Region == o.Region && m.Zone == o.Zone &&
		m.Build == o.Build && m.Level == o.Level && m.API == o.API && m.Addr == o.Addr && m.Fault == o.Fault
}

// An Event tells that a member came, changed what it says of itself (both Up),
// or died or left (not Up). It is never about this node.
type Event struct {
	Member Member
	Up     bool
}

// metadata is what every packet about a member carries besides id and address.
// Fields may be added; a reader skips those that it does not know.
type metadata struct {
	Roles  []spec.Role `json:"r,omitempty"`
	Region string      `json:"g,omitempty"`
	Zone   string      `json:"z,omitempty"`
	Build  string      `json:"b,omitempty"`
	Level  uint32      `json:"l,omitempty"`
	API    string      `json:"a,omitempty"`
	Fault  Fault       `json:"f,omitempty"`
}

// faultBytes is how much longer the metadata of a member with a fault are.
const faultBytes = len(`,"f":255`)

// encodeMeta packs what m says of itself. The library would panic over more than
// its limit, so too much is an error here.
func encodeMeta(m Member) ([]byte, error) {
	raw, err := json.Marshal(metadata{Roles: m.Roles, Region: m.Region, Zone: m.Zone, Build: m.Build, Level: m.Level, API: m.API, Fault: m.Fault})
	if err != nil {
		return nil, err
	}
	room := memberlist.MetaMaxSize
	if m.Fault == Faultless {
		room -= faultBytes // it must be able to tell of one later
	}
	if len(raw) >= room {
		return nil, fmt.Errorf("a member's region (%d bytes), zone (%d), version (%d) and API address (%d) come to %d bytes of metadata, want less than %d: shorten them",
			len(m.Region), len(m.Zone), len(m.Build), len(m.API), len(raw), room)
	}
	return raw, nil
}

// decodeMember reads what gossip says of the member id at addr.
func decodeMember(id, addr string, raw []byte) (Member, error) {
	m := Member{ID: spec.NodeID(id), Addr: addr}
	if err := m.ID.Valid(); err != nil {
		return Member{}, err
	}
	if len(raw) > memberlist.MetaMaxSize {
		return Member{}, fmt.Errorf("metadata of %d bytes, want at most %d", len(raw), memberlist.MetaMaxSize)
	}
	var meta metadata
	if err := json.Unmarshal(raw, &meta); err != nil {
		return Member{}, fmt.Errorf("metadata of member %s: %w", id, err)
	}
	m.Region, m.Zone, m.Build, m.Level, m.API, m.Fault = meta.Region, meta.Zone, meta.Build, meta.Level, meta.API, meta.Fault
	for _, r := range meta.Roles {
		if spec.ValidRole(r) { // a later build may know more
			m.Roles = append(m.Roles, r)
		}
	}
	return m, nil
}
