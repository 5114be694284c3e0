package access

// A Verb is something that can be done, as permissions and decisions name it.
type Verb string

// The verbs. Verbs says what each is.
const (
	Infer            Verb = "infer"
	ModelsList       Verb = "models.list"
	ModelsRead       Verb = "models.read"
	ModelsWrite      Verb = "models.write"
	ModelsPull       Verb = "models.pull"
	DeploymentsRead  Verb = "deployments.read"
	DeploymentsWrite Verb = "deployments.write"
	EnginesExternal  Verb = "engines.external"
	NodesRead        Verb = "nodes.read"
	NodesRemove      Verb = "nodes.remove"
	ClusterRead      Verb = "cluster.read"
	ClusterDrain     Verb = "cluster.drain"
	ClusterLead      Verb = "cluster.lead"
	ClusterBackup    Verb = "cluster.backup"
	ClusterReload    Verb = "cluster.reload"
	TokensRead       Verb = "tokens.read"
	TokensWrite      Verb = "tokens.write"
	SettingsRead     Verb = "settings.read"
	SettingsWrite    Verb = "settings.write"
	TenantsRead      Verb = "tenants.read"
	TenantsWrite     Verb = "tenants.write"
	KeysRead         Verb = "keys.read"
	KeysWrite        Verb = "keys.write"
	KeysOwn          Verb = "keys.own"
	UsersRead        Verb = "users.read"
	UsersWrite       Verb = "users.write"
	RolesRead        Verb = "roles.read"
	RolesWrite       Verb = "roles.write"
	OwnersWrite      Verb = "owners.write"
	SessionsRead     Verb = "sessions.read"
	SessionsWrite    Verb = "sessions.write"
	AuditRead        Verb = "audit.read"
	MetricsRead      Verb = "metrics.read"
	TopologyRead     Verb = "topology.read"
	UsageRead        Verb = "usage.read"
)

// An Info describes a verb.
type Info struct {
	Verb    Verb   `json:"verb"`
	Text    string `json:"text"`
	Cluster bool   `json:"cluster"` // of the whole cluster: a binding in a tenant does not give it
	Shared  bool   `json:"shared"`  // a binding in a tenant gives it for what no tenant owns, too
}

// Verbs is every verb there is. At most 64: a set of them is one word.
var Verbs = []Info{
	{Infer, "send requests to a model; models.list comes with it", false, true},
	{ModelsList, "see a model in /v1/models", false, true},
	{ModelsRead, "see imported model files", false, true},
	{ModelsWrite, "import, check and remove model files", true, false},
	{ModelsPull, "have nodes download model files from URLs; models.write is needed too", true, false},
	{DeploymentsRead, "see deployments and where they are placed", false, true},
	{DeploymentsWrite, "create, change and remove deployments", false, false},
	{EnginesExternal, "deploy engines that run elsewhere, whose URL nodes then call", true, false},
	{NodesRead, "see the nodes", true, false},
	{NodesRemove, "remove nodes for good", true, false},
	{ClusterRead, "see the cluster's status and state", true, false},
	{ClusterDrain, "drain and resume nodes", true, false},
	{ClusterLead, "hand leadership over", true, false},
	{ClusterBackup, "make a backup of the state", true, false},
	{ClusterReload, "have nodes read their configuration again", true, false},
	{TokensRead, "see join tokens, without their secrets", true, false},
	{TokensWrite, "create and revoke join tokens, by which nodes of any role join", true, false},
	{SettingsRead, "see the cluster's settings", true, false},
	{SettingsWrite, "change the cluster's settings, single sign-on among them", true, false},
	{TenantsRead, "see a tenant", false, false},
	{TenantsWrite, "create, change and remove tenants", true, false},
	{KeysRead, "see API keys, without their secrets", false, false},
	{KeysWrite, "create, change, rotate and revoke API keys", false, false},
	{KeysOwn, "the same with the API keys that one owns, which may do no more than oneself", false, false},
	{UsersRead, "see users", false, false},
	{UsersWrite, "create, change and remove users, and set their passwords", false, false},
	{RolesRead, "see roles and bindings", false, false},
	{RolesWrite, "create, change and remove roles and bindings that give no more than one has", false, false},
	{OwnersWrite, "give and take the role owner", false, false},
	{SessionsRead, "see the sessions of others", false, false},
	{SessionsWrite, "end the sessions of others", false, false},
	{AuditRead, "read the audit log", false, false},
	{MetricsRead, "read metrics from another machine", true, false},
	{TopologyRead, "see which node served one's request", false, false},
	{UsageRead, "see what others have used; one's own takes keys.own, or a session", false, false},
}

// set is a set of verbs: bit i is Verbs[i].
type set uint64

const none = -1

var (
	places      = make(map[Verb]int, len(Verbs))
	clusterOnly set // verbs of the whole cluster
	shared      set // verbs that reach what no tenant owns
)

func init() {
	for i, v := range Verbs {
		places[v.Verb] = i
		if v.Cluster {
			clusterOnly |= 1 << i
		}
		if v.Shared {
			shared |= 1 << i
		}
	}
}

func placeOf(v Verb) int {
	if v == Verbs[0].Verb { // infer, which nearly all requests are for
		return 0
	}
	if i, ok := places[v]; ok {
		return i
	}
	return none
}

// Lookup describes the verb of that name.
func Lookup(v Verb) (Info, bool) {
	if i := placeOf(v); i != none {
		return Verbs[i], true
	}
	return Info{}, false
}

// verbsOf is what a pattern of verbs stands for, with what comes along.
func verbsOf(pattern string) (s set) {
	if i := placeOf(Verb(pattern)); i != none {
		s = 1 << i
	} else {
		for i, v := range Verbs {
			if Match(pattern, string(v.Verb)) {
				s |= 1 << i
			}
		}
	}
	if s&(1<<places[Infer]) != 0 {
		s |= 1 << places[ModelsList]
	}
	return s
}
