package gateway

import (
	"slices"
	"strconv"

	"github.com/lotabots/lotabots/cluster/wire"
)

// How a deployment's instances are placed among devices.
const (
	placingSpread = "spread"
	placingPack   = "pack"
)

// maxPlacing bounds each of the lists of a deployment's placing.
const maxPlacing = 64

// placingView is the part of a deployment that says where its instances go, beside
// what memory and regions allow.
type placingView struct {
	Placing     string   `json:"placing"`
	ApartFrom   []string `json:"apart_from"`
	Nodes       []string `json:"nodes"`
	PreferNodes []string `json:"prefer_nodes"`
}

func viewPlacing(d *wire.Deployment) placingView {
	p := d.GetPlacing()
	v := placingView{Placing: placingSpread, ApartFrom: some(p.GetApartFrom()), Nodes: some(p.GetNodes()), PreferNodes: some(p.GetPreferNodes())}
	if p.GetPack() {
		v.Placing = placingPack
	}
	return v
}

// placingForm is the same as a client gives it. That the deployments and nodes that it
// names exist is not asked for: they may come later, and go while this one stays.
type placingForm placingView

func (p *placingForm) check(f *form) {
	f.check(slices.Contains([]string{"", placingSpread, placingPack}, p.Placing), "placing", "must be spread or pack")
	for _, list := range []struct {
		field string
		names []string
	}{{"apart_from", p.ApartFrom}, {"nodes", p.Nodes}, {"prefer_nodes", p.PreferNodes}} {
		f.check(len(list.names) <= maxPlacing, list.field, "must have at most "+strconv.Itoa(maxPlacing)+" entries")
		for i, name := range list.names {
			at := list.field + "[" + strconv.Itoa(i) + "]"
			f.check(nameForm.MatchString(name), at, nameRule)
			f.check(!slices.Contains(list.names[:i], name), at, "is given twice")
		}
	}
}

// put leaves the record without where nothing is asked for, so that nodes of older
// builds take it as before.
func (p *placingForm) put(d *wire.Deployment) {
	if p.Placing == placingPack || len(p.ApartFrom)+len(p.Nodes)+len(p.PreferNodes) > 0 {
		d.Placing = &wire.Placing{Pack: p.Placing == placingPack, ApartFrom: p.ApartFrom, Nodes: p.Nodes, PreferNodes: p.PreferNodes}
	}
}
