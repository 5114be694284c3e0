package wire

import "slices"

// Level is the newest feature level of this build: it can apply every command up to it.
const Level = 6

// Numbers of the bodies in Command: the first that levels 2, 4, 5 and 6 brought, and the
// last that this build knows.
const (
	secondLevel = 30
	firstOfFour = 45
	firstOfFive = 46
	firstOfSix  = 47
	lastBody    = 48
)

// LevelOf is the feature level that brought the command: that of its body, or of
// a field in it that an older build would pass over. A body that this build does
// not know is above Level.
func LevelOf(c *Command) uint32 {
	m := c.ProtoReflect()
	body := m.WhichOneof(m.Descriptor().Oneofs().ByName("body"))
	switch {
	case body == nil || body.Number() > lastBody:
		return Level + 1
	case body.Number() >= firstOfSix:
		return 6
	case body.Number() >= firstOfFive || fifthLevel(c):
		return 5
	case body.Number() >= firstOfFour || fourthLevel(c):
		return 4
	case thirdLevel(c):
		return 3
	case body.Number() >= secondLevel:
		return 2
	}
	return 1
}

// thirdLevel tells fields that level 3 brought into older bodies.
func thirdLevel(c *Command) bool {
	d := c.GetPutDeployment().GetDeployment()
	p := c.GetPutPlacement().GetPlacement()
	return d.GetResidency() != nil || d.GetGpus() > 1 || len(d.GetAdapters()) > 0 || len(p.GetDevices()) > 0 || p.GetOnDemand() ||
		c.GetPutUser().GetEndSessions() != ""
}

// fourthLevel tells fields that level 4 brought into older bodies.
func fourthLevel(c *Command) bool {
	d := c.GetPutDeployment().GetDeployment()
	return len(d.GetFallbacks()) > 0 || d.GetNoHedge()
}

// fifthLevel tells fields that level 5 brought into older bodies.
func fifthLevel(c *Command) bool {
	d := c.GetPutDeployment().GetDeployment()
	return d.GetLimits() != nil || d.GetPrice() != nil || d.GetPlacing() != nil || d.GetScale() != nil ||
		c.GetPutTenant().GetTenant().GetLimits() != nil || len(c.GetPutModel().GetModel().GetParts()) > 0 ||
		c.GetPutPlacement().GetPlacement().GetReplaces() != "" || c.GetPutKey().GetKey().GetLimits() != nil || c.GetChangeKey().GetKey().GetLimits() != nil ||
		slices.ContainsFunc(c.GetPutUsage().GetRows(), func(r *UsageRow) bool { return r.GetVersion() != 0 })
}
