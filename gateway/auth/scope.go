package auth

import (
	"fmt"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// The scopes that stand for more than the verb of that name. Any other scope is
// a verb or a pattern of verbs: in the key's tenant, and in the whole cluster for
// verbs that are of the whole cluster.
const (
	scopeInfer    = "infer"    // and models.list, in the key's tenant
	scopeAdmin    = "admin"    // everything, in the whole cluster
	scopeMetrics  = "metrics"  // metrics.read
	scopeTopology = "topology" // topology.read
)

// CheckScope tells what is wrong with a key's scope.
func CheckScope(scope string) error {
	switch scope {
	case scopeInfer, scopeAdmin, scopeMetrics, scopeTopology:
		return nil
	}
	if err := (access.Permission{Verb: scope}).Check(); err != nil {
		return fmt.Errorf("scope %.80q: want infer, admin, metrics, topology, a verb such as deployments.read, or a pattern such as keys.*", scope)
	}
	return nil
}

// ScopeGrants is what a key's own scopes give, as Covers asks for it before the
// key is made.
func ScopeGrants(k *wire.APIKey) access.Grants {
	return access.NewGrants(scopeGrants(k.GetTenant(), k.GetScopes())...)
}

func scopeGrants(tenant string, scopes []string) []access.Grant {
	var out []access.Grant
	for _, s := range scopes {
		switch s {
		case scopeAdmin:
			out = append(out, access.Grant{Role: s, Permissions: []access.Permission{{Verb: "*"}}})
		case scopeMetrics:
			out = append(out, access.Grant{Role: s, Permissions: []access.Permission{{Verb: string(access.MetricsRead)}}})
		case scopeTopology:
			out = append(out, confined(s, tenant, string(access.TopologyRead)))
		default:
			out = append(out, confined(s, tenant, s))
			if wide := clusterVerbs(s); len(wide) > 0 {
				out = append(out, access.Grant{Role: s, Permissions: wide})
			}
		}
	}
	return out
}

func confined(scope, tenant, verb string) access.Grant {
	return access.Grant{Role: scope, Tenant: tenant, Confined: true, Permissions: []access.Permission{{Verb: verb}}}
}

// clusterVerbs is what the pattern has of the verbs of the whole cluster.
func clusterVerbs(pattern string) (out []access.Permission) {
	for _, v := range access.Verbs {
		if v.Cluster && access.Match(pattern, v.Verb) {
			out = append(out, access.Permission{Verb: string(v.Verb)})
		}
	}
	return out
}
