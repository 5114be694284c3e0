package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/lotabots/lotabots/gateway"
)

// statusTable prints what GET /admin/v1/status tells, for people.
func statusTable(w io.Writer, s gateway.Status) {
	leader := s.Leader
	if leader == "" {
		leader = "none known"
	}
	row(w, "cluster", s.Cluster)
	row(w, "leader", fmt.Sprintf("%s (term %d)", leader, s.Term))
	row(w, "voters", raftWord(s.Nodes))
	row(w, "state", fmt.Sprintf("index %d, %d ms old, as seen by %s", s.StateIndex, s.StateAgeMS, s.Self))
	if s.Diverged != "" {
		row(w, "ALARM", s.Diverged)
	}
	if s.Unfed != "" {
		row(w, "ALARM", "the state is not followed: "+s.Unfed)
	}
	if s.Disk != "" {
		row(w, "ALARM", s.Self+": "+s.Disk)
	}
	row(w)
	row(w, "REGION", "NODES", "ALIVE", "DEVICES", "READY INSTANCES")
	for _, r := range s.Regions {
		row(w, r.Name, r.Nodes, r.Alive, r.Devices, r.Instances)
	}
	row(w)
	row(w, "NODE", "STATE", "ROLES", "REGION", "ZONE", "API", "VERSION", "ENGINES")
	for _, n := range s.Nodes {
		row(w, n.ID, nodeWord(n), strings.Join(n.Roles, ","), n.Region, n.Zone, n.API, n.Version, engineWord(n))
	}
	row(w)
	deviceRows(w, s.Devices, func(gateway.DeviceStatus) bool { return true })
	row(w)
	row(w, "INSTANCE", "DEPLOYMENT", "NODE", "REGION", "STATE", "RUNNING", "QUEUED", "TOKENS/S", "REASON")
	for _, i := range s.Instances {
		row(w, i.ID, fmt.Sprintf("%s v%d", i.Deployment, i.Version), i.Node, i.Region, stateWord(i),
			slotsWord(i), i.Queued, fmt.Sprintf("%.0f", i.DecodeTPS), i.Reason)
	}
	transferRows(w, s.Transfers)
	scaleRows(w, s.Scaling)
	if len(s.Lacking) > 0 {
		row(w)
		row(w, "NOT PLACED", "REASON")
	}
	for _, l := range s.Lacking {
		row(w, fmt.Sprintf("%s v%d", l.Deployment, l.Version), l.Reason)
	}
}

func transferRows(w io.Writer, transfers []gateway.ModelTransfer) {
	if len(transfers) == 0 {
		return
	}
	row(w)
	row(w, "MODEL ON ITS WAY", "TO", "FROM", "CAME", "OF", "SPEED", "ERROR")
	for _, t := range transfers {
		row(w, t.Model, t.Node, t.From, size(uint64(t.Bytes)), size(uint64(t.Total)), size(uint64(max(0, t.Rate)))+"/s", t.Error)
	}
}

// slotsWord tells in brackets what an instance's engine could take, where it gets less, and why.
func slotsWord(i gateway.InstanceStatus) string {
	if i.Ceiling > i.Slots && i.SlotsWhy != "" {
		return fmt.Sprintf("%d of %d (%d: %s)", i.Running, i.Slots, i.Ceiling, strings.ReplaceAll(i.SlotsWhy, "_", " "))
	}
	if i.Ceiling > i.Slots {
		return fmt.Sprintf("%d of %d (%d)", i.Running, i.Slots, i.Ceiling)
	}
	return fmt.Sprintf("%d of %d", i.Running, i.Slots)
}

func deviceRows(w io.Writer, devices []gateway.DeviceStatus, of func(gateway.DeviceStatus) bool) {
	row(w, "DEVICE", "NODE", "KIND", "NAME", "MEMORY FREE", "USE", "HEALTH")
	for _, d := range devices {
		if !of(d) {
			continue
		}
		health := d.Health
		if d.Draining {
			health += ", draining"
		}
		row(w, d.ID, d.Node, d.Kind, d.Name, size(d.MemoryFree)+" of "+size(d.MemoryTotal), fmt.Sprintf("%d %%", d.Utilisation), health)
	}
}

// stateWord is an instance's state, and how far its load is.
func stateWord(i gateway.InstanceStatus) string {
	word := i.State
	switch {
	case i.Phase == "memory":
		word += ": waits for memory"
	case i.Phase != "":
		word += ": " + i.Phase
		if i.Progress > 0 {
			word += fmt.Sprintf(" %d %%", i.Progress)
		}
	}
	if i.State == "cold" && i.LoadS > 0 {
		word += fmt.Sprintf(" (loads in %.0f s)", max(i.LoadS, 1))
	}
	return word
}

// raftWord sums up who votes and who stands by.
func raftWord(nodes []gateway.NodeStatus) string {
	var voters, spares []string
	for _, n := range nodes {
		name := n.ID
		if !n.Alive {
			name += " (DEAD)"
		}
		switch {
		case n.Voter:
			voters = append(voters, name)
		case n.Spare:
			spares = append(spares, name)
		}
	}
	if len(voters) == 0 {
		return "not known here"
	}
	word := strings.Join(voters, ", ")
	if len(spares) > 0 {
		word += "; spares: " + strings.Join(spares, ", ")
	}
	return word
}

// nodeWord sums a node up in one cell.
func nodeWord(n gateway.NodeStatus) string {
	word := n.State
	switch {
	case n.State == "removed":
		return word
	case !n.Alive:
		word = "DEAD"
	}
	switch {
	case n.Leader && n.Alive:
		word += ", leader"
	case n.Voter:
		word += ", voter"
	case n.Spare:
		word += ", spare"
	}
	if n.Alive && n.Fault != "" {
		word += ", " + strings.ToUpper(n.Fault)
	}
	return word
}
