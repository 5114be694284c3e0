package access

import (
	"fmt"
	"strings"
)

// A Permission is verbs on resources. Both may be patterns: keys.* on key:ci-*.
type Permission struct {
	Verb     string `json:"verb"`
	Resource string `json:"resource,omitempty"` // kind, kind:pattern, or * and empty for everything
}

// everything is the pattern of all resources.
const everything = "*"

const on = " on "

// String is the permission's text, which ParsePermission reads.
func (p Permission) String() string {
	if p.Resource == "" || p.Resource == everything {
		return p.Verb
	}
	return p.Verb + on + p.Resource
}

// ParsePermission reads "verb" or "verb on resource" and checks it.
func ParsePermission(text string) (Permission, error) {
	verb, resource, limited := strings.Cut(text, on)
	p := Permission{Verb: strings.TrimSpace(verb), Resource: strings.TrimSpace(resource)}
	if limited && p.Resource == "" {
		return Permission{}, fmt.Errorf("permission %q: no resource follows %q", clip(text), strings.TrimSpace(on))
	}
	if p.Resource == everything {
		p.Resource = ""
	}
	return p, p.Check()
}

// Check tells what is wrong with a permission: a verb that is none, a kind that
// is none, a pattern that no name fits.
func (p Permission) Check() error {
	if len(p.Verb) > maxName || verbsOf(p.Verb) == 0 {
		return fmt.Errorf("permission %q: there is no verb %q; see the catalogue of verbs", clip(p.String()), clip(p.Verb))
	}
	if p.Resource == "" || p.Resource == everything {
		return nil
	}
	kind, name, named := strings.Cut(p.Resource, ":")
	if named && !plain(name) {
		return fmt.Errorf("permission %q: after the kind comes a name or a pattern of 1 to %d printable bytes without spaces", clip(p.String()), maxName)
	}
	for _, k := range Kinds {
		if k == kind {
			return nil
		}
	}
	return fmt.Errorf("permission %q: the kind of the resource is none of %s", clip(p.String()), strings.Join(Kinds, ", "))
}

// A reach is a resource pattern taken apart.
type reach struct {
	kind string // empty: every kind
	name string // pattern; "*": every name
}

func reachOf(resource string) reach {
	if resource == "" || resource == everything {
		return reach{"", everything}
	}
	kind, name, named := strings.Cut(resource, ":")
	if !named {
		name = everything
	}
	return reach{kind, name}
}

// has tells whether the pattern reaches the resource. A pattern of tenants
// reaches what those tenants own.
func (r *reach) has(to *Resource) bool {
	switch {
	case r.kind == "":
		return true
	case r.kind == to.Kind:
		return r.name == everything || Match(r.name, to.Name)
	case r.kind == KindTenant:
		return to.Tenant != "" && Match(r.name, to.Tenant)
	}
	return false
}

// covers tells whether r reaches all that other does, where that reaches
// nothing but what tenant owns; empty: anything at all.
func (r reach) covers(other reach, tenant string) bool {
	switch {
	case r.kind == "":
		return true
	case r.kind == KindTenant && tenant != "" && Match(r.name, tenant):
		return true
	case r.kind == other.kind:
		return Match(r.name, other.name)
	}
	return false
}
