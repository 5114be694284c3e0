package declare

import (
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// What a Change does.
const (
	Create = "create"
	Update = "change"
	Remove = "remove"
)

// A Change is one record to be written.
type Change struct {
	Action string        `json:"action"`
	Kind   string        `json:"kind"`
	Name   string        `json:"name"`
	Fields []FieldChange `json:"fields,omitempty"` // that differ from the cluster's, or from the defaults of a new one
	want   Document
}

// A FieldChange is one field's difference; From is nil for a new record.
type FieldChange struct {
	Field string `json:"field"`
	From  any    `json:"from,omitempty"`
	To    any    `json:"to"`
}

// A Plan is the difference between a cluster and what is wanted.
type Plan struct {
	// Force has engines taken that no living node has yet.
	Force bool `json:"-"`

	Changes   []Change `json:"changes"`   // in the order in which they are to be made
	Unchanged int      `json:"unchanged"` // documents that the cluster has as they are
	Left      []string `json:"left"`      // what the cluster has beside the documents and keeps
}

// Compare says how to make have into want. Only with prune is what want lacks
// removed, and only where its kind can be.
func Compare(have, want []Document, prune bool) Plan {
	old := map[string]Document{}
	for _, d := range have {
		old[d.Title()] = d
	}
	p := Plan{Changes: []Change{}, Left: []string{}}
	for _, d := range Sort(want) {
		before, exists := old[d.Title()]
		delete(old, d.Title())
		kind, _ := kindOf(d.Kind)
		c := Change{Action: Update, Kind: d.Kind, Name: d.Name, want: d}
		if !exists {
			before, c.Action = kind.blank(d.Name), Create
		}
		for _, f := range kind.Fields {
			if reflect.DeepEqual(before.Fields[f.Name], d.Fields[f.Name]) {
				continue
			}
			change := FieldChange{Field: f.Name, To: d.Fields[f.Name]}
			if exists {
				change.From = before.Fields[f.Name]
			}
			c.Fields = append(c.Fields, change)
		}
		if exists && len(c.Fields) == 0 {
			p.Unchanged++
			continue
		}
		p.Changes = append(p.Changes, c)
	}
	for _, d := range Sort(slices.Collect(maps.Values(old))) {
		if kind, _ := kindOf(d.Kind); prune && kind.Removable {
			p.Changes = append(p.Changes, Change{Action: Remove, Kind: d.Kind, Name: d.Name, want: d})
		} else {
			p.Left = append(p.Left, d.Title())
		}
	}
	return p
}

var signs = map[string]string{Create: "+", Update: "~", Remove: "-"}

// Show writes the plan for people.
func (p Plan) Show(w io.Writer) {
	for _, c := range p.Changes {
		fmt.Fprintf(w, "%s %s %s\n", signs[c.Action], c.Kind, c.Name)
		for _, f := range c.Fields {
			if f.From == nil {
				fmt.Fprintf(w, "    %s: %s\n", f.Field, shown(f.To))
			} else {
				fmt.Fprintf(w, "    %s: %s -> %s\n", f.Field, shown(f.From), shown(f.To))
			}
		}
	}
}

// Summary counts the plan in one line.
func (p Plan) Summary() string {
	count := map[string]int{}
	for _, c := range p.Changes {
		count[c.Action]++
	}
	return fmt.Sprintf("%d to create, %d to change, %d to remove, %d unchanged", count[Create], count[Update], count[Remove], p.Unchanged)
}

func shown(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	case map[string]string:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+": "+strconv.Quote(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case *spec.Scale:
		return shownScale(v)
	}
	return fmt.Sprint(v)
}
