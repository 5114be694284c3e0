package access

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The kinds of resources. A tenant stands for everything in it, a cluster for itself.
const (
	KindCluster    = "cluster"
	KindTenant     = "tenant"
	KindModel      = "model" // what clients put in "model", a deployment's name; and a model file
	KindDeployment = "deployment"
	KindNode       = "node"
	KindToken      = "token"
	KindSetting    = "setting"
	KindKey        = "key"
	KindUser       = "user"
	KindRole       = "role"
	KindBinding    = "binding"
	KindSession    = "session"
)

// Kinds is every kind of resource.
var Kinds = []string{KindCluster, KindTenant, KindModel, KindDeployment, KindNode, KindToken, KindSetting, KindKey, KindUser, KindRole, KindBinding, KindSession}

// maxName bounds the name or pattern of a resource, in bytes.
const maxName = 256

// A Resource is what something is done to.
type Resource struct {
	Kind   string
	Name   string
	Tenant string // that owns it; empty: nobody's, or the whole cluster's
}

// Cluster is the cluster as a whole.
var Cluster = Resource{Kind: KindCluster}

// In is a tenant and all that is in it, as where a list is asked for or
// something is created. In("") is the cluster.
func In(tenant string) Resource {
	if tenant == "" {
		return Cluster
	}
	return Resource{Kind: KindTenant, Name: tenant, Tenant: tenant}
}

// String is the resource's text: model:llama-3, cluster.
func (r Resource) String() string {
	if r.Name == "" {
		return r.Kind
	}
	return r.Kind + ":" + r.Name
}

// ParseResource reads a resource's text. tenant owns it; a tenant owns itself.
func ParseResource(text, tenant string) (Resource, error) {
	if text == "" {
		return In(tenant), nil
	}
	kind, name, named := strings.Cut(text, ":")
	if !slices.Contains(Kinds, kind) {
		return Resource{}, fmt.Errorf("resource %q: its kind is none of %s", clip(text), strings.Join(Kinds, ", "))
	}
	if named && !plain(name) || !named && kind != KindCluster {
		return Resource{}, fmt.Errorf("resource %q: want KIND:NAME, such as model:llama-3, or %s", clip(text), KindCluster)
	}
	if named && kind == KindCluster {
		return Resource{}, fmt.Errorf("resource %q: the cluster has no name here", clip(text))
	}
	if kind == KindTenant {
		return In(name), nil
	}
	return Resource{Kind: kind, Name: name, Tenant: tenant}, nil
}

// plain tells whether the text can be a name or a pattern of names.
func plain(s string) bool {
	if s == "" || len(s) > maxName || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) })
}

func clip(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
