package gateway

import (
	"net/http"
	"slices"

	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/openai"
)

const (
	get    = http.MethodGet
	put    = http.MethodPut
	post   = http.MethodPost
	patch  = http.MethodPatch
	remove = http.MethodDelete
)

// ofPages is the parameters of every list.
const ofPages = "limit cursor"

// Operations is everything that is served.
func (g *Gateway) Operations() []Operation {
	all := []Operation{
		{Method: post, Path: "/v1/chat/completions", ID: "createChatCompletion", Verb: access.Infer, serve: inference(openai.Chat)},
		{Method: post, Path: "/v1/completions", ID: "createCompletion", Verb: access.Infer, serve: inference(openai.Completions)},
		{Method: post, Path: "/v1/embeddings", ID: "createEmbedding", Verb: access.Infer, serve: inference(openai.Embeddings)},
		{Method: post, Path: "/v1/rerank", ID: "createRerank", Verb: access.Infer, serve: inference(openai.Rerank)},
		{Method: post, Path: "/v2/rerank", ID: "createRerankV2", Verb: access.Infer, serve: inference(openai.Rerank)},
		{Method: post, Path: "/rerank", ID: "createRerankBare", Verb: access.Infer, serve: inference(openai.Rerank)},
		{Method: post, Path: "/v1/messages", ID: "createMessage", Verb: access.Infer, errors: anthropicErrors, serve: translated(ofMessages)},
		{Method: post, Path: "/v1/messages/count_tokens", ID: "countTokens", Verb: access.Infer, errors: anthropicErrors, serve: countTokens(messageTokens)},
		{Method: post, Path: "/v1/responses", ID: "createResponse", Verb: access.Infer, serve: translated(ofResponses)},
		{Method: post, Path: "/v1/responses/input_tokens", ID: "countResponseTokens", Verb: access.Infer, serve: countTokens(responseTokens)},
		{Method: get, Path: "/v1/responses/{id}", ID: "showResponse", Verb: access.Infer, plain: true, serve: noResponse},
		{Method: remove, Path: "/v1/responses/{id}", ID: "removeResponse", Verb: access.Infer, serve: noResponse},
		{Method: post, Path: "/v1/audio/transcriptions", ID: "createTranscription", Verb: access.Infer, serve: inference(openai.Transcriptions)},
		{Method: post, Path: "/v1/audio/translations", ID: "createTranslation", Verb: access.Infer, serve: inference(openai.Translations)},
		{Method: post, Path: "/v1/audio/speech", ID: "createSpeech", Verb: access.Infer, serve: inference(openai.Speech)},
		{Method: post, Path: "/v1/images/generations", ID: "createImage", Verb: access.Infer, serve: inference(openai.Images)},
		{Method: get, Path: "/v1/models", ID: "listModels", Verb: access.ModelsList, serve: listVisible},
		{Method: get, Path: "/v1/models/{id:*}", ID: "showModel", Verb: access.ModelsList, serve: showVisible},
		{Method: get, Path: "/v1/limits", ID: "showOwnLimits", Verb: access.ModelsList, serve: showOwnLimits},
		{Method: get, Path: "/healthz", ID: "health", Open: true, serve: healthz},
		{Method: get, Path: "/readyz", ID: "ready", Open: true, serve: readyz},
		{Method: get, Path: "/metrics", ID: "metrics", Open: true, Verb: access.MetricsRead, serve: showMetrics(g.cfg.Gatherer)},
		{Method: get, Path: "/openapi.json", ID: "description", Open: true, serve: showSpec},
		{Method: get, Path: "/docs", ID: "docs", Open: true, serve: showDocs},
		{Method: get, Path: "/", ID: "root", Open: true, serve: showRoot},
	}
	return slices.Concat(all, kserveOperations(), sessionOperations(), clusterOperations(), modelOperations(), tenantOperations(),
		keyOperations(), userOperations(), roleOperations(), auditOperations())
}

// sessionOperations is how users come in and out, and what they may ask about
// themselves.
func sessionOperations() []Operation {
	return []Operation{
		{Method: post, Path: "/auth/v1/login", ID: "login", Open: true, serve: login},
		{Method: post, Path: "/auth/v1/refresh", ID: "refresh", Open: true, serve: refresh},
		{Method: post, Path: "/auth/v1/exchange", ID: "exchange", Open: true, serve: exchange},
		{Method: get, Path: "/auth/v1/oidc/login", ID: "beginSSO", Open: true, plain: true, serve: beginSSO},
		{Method: get, Path: "/auth/v1/oidc/callback", ID: "finishSSO", Open: true, plain: true, serve: finishSSO},
		{Method: get, Path: "/auth/v1/keys.json", ID: "signingKeys", Open: true, serve: signingKeys},
		{Method: post, Path: "/auth/v1/logout", ID: "logout", from: fromState, serve: logout},
		{Method: get, Path: "/auth/v1/whoami", ID: "whoami", from: fromState, serve: whoami},
		{Method: post, Path: "/auth/v1/can-i", ID: "canI", from: fromState, serve: canI},
		{Method: get, Path: "/auth/v1/verbs", ID: "listVerbs", serve: listVerbs},
	}
}

func clusterOperations() []Operation {
	const at = "/admin/v1"
	return []Operation{
		{Method: get, Path: at + "/status", ID: "status", Verb: access.ClusterRead, on: whole, from: fromAny, serve: status},
		{Method: get, Path: at + "/state", ID: "showState", Verb: access.ClusterRead, on: whole, from: fromAny, serve: showState},
		{Method: get, Path: at + "/backup", ID: "createBackup", Verb: access.ClusterBackup, on: whole, from: fromState, plain: true, serve: createBackup},
		{Method: get, Path: at + "/nodes", ID: "listNodes", Verb: access.NodesRead, on: whole, from: fromState, query: ofPages, serve: listNodes},
		{Method: post, Path: at + "/nodes/{id}/drain", ID: "drainNode", Verb: access.ClusterDrain, on: theNode, from: fromState, serve: drainNode},
		{Method: post, Path: at + "/nodes/{id}/resume", ID: "resumeNode", Verb: access.ClusterDrain, on: theNode, from: fromState, serve: resumeNode},
		{Method: post, Path: at + "/nodes/{id}/reload", ID: "reloadNode", Verb: access.ClusterReload, on: theNode, from: fromState, serve: reloadNode},
		{Method: remove, Path: at + "/nodes/{id}", ID: "removeNode", Verb: access.NodesRemove, on: theNode, from: fromState, serve: removeNode},
		{Method: post, Path: at + "/leadership/transfer", ID: "transferLeadership", Verb: access.ClusterLead, on: whole, from: fromState, serve: transferLeadership},
		{Method: get, Path: at + "/settings", ID: "listSettings", Verb: access.SettingsRead, on: whole, from: fromState, query: ofPages, serve: listSettings},
		{Method: put, Path: at + "/settings/{name:*}", ID: "putSetting", Verb: access.SettingsWrite, on: theSetting, from: fromState, serve: putSetting},
		{Method: remove, Path: at + "/settings/{name:*}", ID: "removeSetting", Verb: access.SettingsWrite, on: theSetting, from: fromState, serve: removeSetting},
		{Method: put, Path: at + "/secrets/{name}", ID: "putSecret", Verb: access.SettingsWrite, on: theSetting, from: fromState, serve: putSecret},
		{Method: get, Path: at + "/tokens", ID: "listTokens", Verb: access.TokensRead, on: whole, from: fromState, query: ofPages, serve: listTokens},
		{Method: post, Path: at + "/tokens", ID: "createToken", Verb: access.TokensWrite, on: whole, from: fromState, serve: createToken},
		{Method: remove, Path: at + "/tokens/{id}", ID: "revokeToken", Verb: access.TokensWrite, on: theToken, from: fromState, serve: revokeToken},
	}
}

func modelOperations() []Operation {
	const at = "/admin/v1"
	return []Operation{
		{Method: get, Path: at + "/models", ID: "adminListModels", Verb: access.ModelsRead, from: fromState, query: ofPages, serve: listModels},
		{Method: put, Path: at + "/models/{name}", ID: "importModel", Verb: access.ModelsWrite, on: theModel, from: fromState, serve: importModel},
		{Method: get, Path: at + "/models/{name}", ID: "showModelFile", Verb: access.ModelsRead, on: theModel, from: fromState, serve: showModelFile},
		{Method: post, Path: at + "/models/{name}/verify", ID: "verifyModel", Verb: access.ModelsWrite, on: theModel, from: fromState, serve: verifyModel},
		{Method: post, Path: at + "/models/{name}/pull", ID: "pullModel", Verb: access.ModelsWrite, on: theModel, from: fromState, serve: pullModel},
		{Method: remove, Path: at + "/models/{name}/pull", ID: "cancelPull", Verb: access.ModelsWrite, on: theModel, from: fromState, serve: cancelPull},
		{Method: get, Path: at + "/storage", ID: "showStorage", Verb: access.NodesRead, on: whole, from: fromState, serve: showStorage},
		{Method: post, Path: at + "/storage/collect", ID: "collectStorage", Verb: access.ModelsWrite, on: whole, from: fromState, serve: collectStorage},
		{Method: remove, Path: at + "/models/{name}", ID: "removeModel", Verb: access.ModelsWrite, on: theModel, from: fromState, serve: removeModel},
		{Method: get, Path: at + "/deployments", ID: "listDeployments", Verb: access.DeploymentsRead, from: fromState, query: ofPages + " tenant", serve: listDeployments},
		{Method: put, Path: at + "/deployments/{name}", ID: "putDeployment", Verb: access.DeploymentsWrite, from: fromState, serve: putDeployment},
		{Method: remove, Path: at + "/deployments/{name}", ID: "removeDeployment", Verb: access.DeploymentsWrite, on: theDeployment, from: fromState, serve: removeDeployment},
		{Method: patch, Path: at + "/deployments/{name}/canary", ID: "changeCanary", Verb: access.DeploymentsWrite, on: theDeployment, from: fromState, serve: changeCanary},
		{Method: remove, Path: at + "/deployments/{name}/canary", ID: "removeCanary", Verb: access.DeploymentsWrite, on: theDeployment, from: fromState, serve: removeCanary},
		{Method: post, Path: at + "/deployments/{name}/canary/promote", ID: "promoteCanary", Verb: access.DeploymentsWrite, on: theDeployment, from: fromState, serve: promoteCanary},
		{Method: get, Path: at + "/placements", ID: "listPlacements", Verb: access.DeploymentsRead, from: fromState, query: ofPages, serve: listPlacements},
		{Method: get, Path: at + "/cache", ID: "listCaches", Verb: access.DeploymentsRead, from: fromState, serve: listCaches},
		{Method: post, Path: at + "/cache/purge", ID: "purgeCache", Verb: access.DeploymentsWrite, from: fromState, serve: purgeCache},
		{Method: post, Path: at + "/plan", ID: "plan", Verb: access.ClusterRead, on: whole, from: fromState, serve: plan},
	}
}

func tenantOperations() []Operation {
	const at = "/admin/v1/tenants"
	return []Operation{
		{Method: get, Path: at, ID: "listTenants", Verb: access.TenantsRead, from: fromState, query: ofPages, serve: listTenants},
		{Method: put, Path: at + "/{name}", ID: "putTenant", Verb: access.TenantsWrite, on: theTenant, from: fromState, serve: putTenant},
		{Method: remove, Path: at + "/{name}", ID: "removeTenant", Verb: access.TenantsWrite, on: theTenant, from: fromState, serve: removeTenant},
	}
}

func keyOperations() []Operation {
	const at = "/admin/v1/keys"
	return []Operation{
		{Method: get, Path: at, ID: "listKeys", Verb: access.KeysRead, Own: access.KeysOwn, from: fromState, query: ofPages + " tenant owner", serve: listKeys},
		{Method: post, Path: at, ID: "createKey", Verb: access.KeysWrite, Own: access.KeysOwn, from: fromState, serve: createKey},
		{Method: get, Path: at + "/{id}", ID: "showKey", Verb: access.KeysRead, Own: access.KeysOwn, on: theKey, from: fromState, serve: showKey},
		{Method: patch, Path: at + "/{id}", ID: "changeKey", Verb: access.KeysWrite, Own: access.KeysOwn, on: theKey, from: fromState, serve: changeKey},
		{Method: post, Path: at + "/{id}/rotate", ID: "rotateKey", Verb: access.KeysWrite, Own: access.KeysOwn, on: theKey, from: fromState, serve: rotateKey},
		{Method: remove, Path: at + "/{id}", ID: "revokeKey", Verb: access.KeysWrite, Own: access.KeysOwn, on: theKey, from: fromState, serve: revokeKey},
	}
}

func userOperations() []Operation {
	const at = "/admin/v1"
	return []Operation{
		{Method: get, Path: at + "/users", ID: "listUsers", Verb: access.UsersRead, from: fromState, query: ofPages + " tenant", serve: listUsers},
		{Method: post, Path: at + "/users", ID: "createUser", Verb: access.UsersWrite, from: fromState, serve: createUser},
		{Method: get, Path: at + "/users/{id}", ID: "showUser", Verb: access.UsersRead, self: true, on: theUser, from: fromState, serve: showUser},
		{Method: patch, Path: at + "/users/{id}", ID: "changeUser", Verb: access.UsersWrite, on: theUser, from: fromState, serve: changeUser},
		{Method: remove, Path: at + "/users/{id}", ID: "removeUser", Verb: access.UsersWrite, on: theUser, from: fromState, serve: removeUser},
		{Method: put, Path: at + "/users/{id}/password", ID: "setPassword", Verb: access.UsersWrite, self: true, on: theUser, from: fromState, serve: setPassword},
		{Method: remove, Path: at + "/users/{id}/sessions", ID: "endSessions", Verb: access.SessionsWrite, self: true, on: theUser, from: fromState, serve: endSessions},
		{Method: get, Path: at + "/sessions", ID: "listSessions", Verb: access.SessionsRead, self: true, from: fromState, query: ofPages + " tenant user", serve: listSessions},
		{Method: remove, Path: at + "/sessions/{id}", ID: "endSession", Verb: access.SessionsWrite, self: true, on: theSession, from: fromState, serve: endSession},
	}
}

func roleOperations() []Operation {
	const at = "/admin/v1"
	return []Operation{
		{Method: get, Path: at + "/roles", ID: "listRoles", Verb: access.RolesRead, from: fromState, query: ofPages, serve: listRoles},
		{Method: put, Path: at + "/roles/{id:*}", ID: "putRole", Verb: access.RolesWrite, on: theRole, from: fromState, serve: putRole},
		{Method: remove, Path: at + "/roles/{id:*}", ID: "removeRole", Verb: access.RolesWrite, on: theRole, from: fromState, serve: removeRole},
		{Method: get, Path: at + "/bindings", ID: "listBindings", Verb: access.RolesRead, from: fromState, query: ofPages + " tenant subject", serve: listBindings},
		{Method: post, Path: at + "/bindings", ID: "createBinding", Verb: access.RolesWrite, from: fromState, serve: createBinding},
		{Method: remove, Path: at + "/bindings/{id}", ID: "removeBinding", Verb: access.RolesWrite, on: theBinding, from: fromState, serve: removeBinding},
	}
}

func auditOperations() []Operation {
	const at = "/admin/v1/audit"
	return []Operation{
		{Method: get, Path: at, ID: "listAudit", Verb: access.AuditRead, from: fromState, query: ofPages + " tenant actor target action outcome from to order", serve: listAudit},
		{Method: get, Path: at + "/verify", ID: "verifyAudit", Verb: access.AuditRead, on: whole, from: fromState, serve: verifyAudit},
		{Method: get, Path: "/admin/v1/usage", ID: "showUsage", Verb: access.UsageRead, Own: access.KeysOwn, self: true, from: fromState, query: ofUsage, serve: showUsage},
		{Method: get, Path: "/admin/v1/usage/records", ID: "listUsageRecords", Verb: access.UsageRead, Own: access.KeysOwn, self: true, from: fromState, query: ofRecords, serve: listRecords},
		{Method: get, Path: "/admin/v1/limits", ID: "showLimits", Verb: access.UsageRead, Own: access.KeysOwn, self: true, from: fromState, query: ofLimits, serve: showLimits},
	}
}
