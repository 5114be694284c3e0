package gateway_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/gateway/access"
)

var update = flag.Bool("update", false, "write testdata/matrix.txt anew; read the difference")

const matrixFile = "testdata/matrix.txt"

const matrixHead = `# Who may do what: every operation of openapi.yaml by every built-in role, bound in
# the whole cluster, in the tenant t1 that owns what is asked for, and in another.
# yes: done; no: 403, names what is missing; hid: 404, as if there were no such
# thing; key: 401. "none" is a user of t1 without a role, "nobody" has no credential.
# Written by go test ./gateway -run TestMatrix -update; read the difference.
`

// asks has a request for each operation by its id, to things of the tenant t1
// where they are a tenant's. HEAD is tried as GET is.
var asks = map[string]struct{ path, body string }{
	"createChatCompletion": {"/v1/chat/completions", strings.Replace(chatBody, `"m"`, `"own"`, 1)},
	"createCompletion":     {"/v1/completions", `{"model":"own","prompt":"x"}`},
	"createEmbedding":      {"/v1/embeddings", `{"model":"own","input":"x"}`},
	"createRerank":         {"/v1/rerank", `{"model":"own","query":"x","documents":["y"]}`},
	"createRerankV2":       {"/v2/rerank", `{"model":"own","query":"x","documents":["y"]}`},
	"createRerankBare":     {"/rerank", `{"model":"own","query":"x","documents":["y"]}`},
	"createMessage":        {"/v1/messages", `{"model":"own","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`},
	"countTokens":          {"/v1/messages/count_tokens", `{"model":"own","messages":[{"role":"user","content":"x"}]}`},
	"createResponse":       {"/v1/responses", `{"model":"own","input":"x"}`},
	"countResponseTokens":  {"/v1/responses/input_tokens", `{"model":"own","input":"x"}`},
	"showResponse":         {"/v1/responses/resp_1", ""},
	"removeResponse":       {"/v1/responses/resp_1", ""},
	"createTranscription":  {"/v1/audio/transcriptions", strings.Replace(soundForm, "\r\nm\r\n", "\r\nown\r\n", 1)},
	"createTranslation":    {"/v1/audio/translations", strings.Replace(soundForm, "\r\nm\r\n", "\r\nown\r\n", 1)},
	"createSpeech":         {"/v1/audio/speech", `{"model":"own","input":"x"}`},
	"createImage":          {"/v1/images/generations", `{"model":"own","prompt":"x"}`},
	"kserveServer":         {"/v2", ""},
	"kserveLive":           {"/v2/health/live", ""},
	"kserveReady":          {"/v2/health/ready", ""},
	"kserveModel":          {"/v2/models/own", ""},
	"kserveModelReady":     {"/v2/models/own/ready", ""},
	"kserveInfer":          {"/v2/models/own/infer", `{"inputs":[]}`},
	"kserveVersion":        {"/v2/models/own/versions/1", ""},
	"kserveVersionReady":   {"/v2/models/own/versions/1/ready", ""},
	"kserveVersionInfer":   {"/v2/models/own/versions/1/infer", `{"inputs":[]}`},
	"listModels":           {"/v1/models", ""},
	"showModel":            {"/v1/models/own", ""},
	"health":               {"/healthz", ""},
	"ready":                {"/readyz", ""},
	"metrics":              {"/metrics", ""},
	"description":          {"/openapi.json", ""},
	"docs":                 {"/docs", ""},
	"root":                 {"/", ""},
	"login":                {"/auth/v1/login", `{"name":"u1-name","password":"correct horse u1"}`},
	"refresh":              {"/auth/v1/refresh", `{"refresh_token":"lbr-s1-secret"}`},
	"exchange":             {"/auth/v1/exchange", `{"code":"once","verifier":"v"}`},
	"beginSSO":             {"/auth/v1/oidc/login", ""},
	"finishSSO":            {"/auth/v1/oidc/callback?state=s&code=c", ""},
	"signingKeys":          {"/auth/v1/keys.json", ""},
	"logout":               {"/auth/v1/logout", ""},
	"whoami":               {"/auth/v1/whoami", ""},
	"canI":                 {"/auth/v1/can-i", `{"verb":"infer"}`},
	"listVerbs":            {"/auth/v1/verbs", ""},
	"status":               {"/admin/v1/status", ""},
	"showState":            {"/admin/v1/state", ""},
	"createBackup":         {"/admin/v1/backup?recipient=age1one", ""},
	"listNodes":            {"/admin/v1/nodes", ""},
	"drainNode":            {"/admin/v1/nodes/n1/drain", ""},
	"resumeNode":           {"/admin/v1/nodes/n1/resume", ""},
	"reloadNode":           {"/admin/v1/nodes/n1/reload", ""},
	"removeNode":           {"/admin/v1/nodes/n1", ""},
	"transferLeadership":   {"/admin/v1/leadership/transfer", ""},
	"listSettings":         {"/admin/v1/settings", ""},
	"putSetting":           {"/admin/v1/settings/colour", `{"value":"red"}`},
	"removeSetting":        {"/admin/v1/settings/old", ""},
	"putSecret":            {"/admin/v1/secrets/oidc-client", `{"value":"shh"}`},
	"listTokens":           {"/admin/v1/tokens", ""},
	"createToken":          {"/admin/v1/tokens", `{"role":"worker"}`},
	"revokeToken":          {"/admin/v1/tokens/tok", ""},
	"adminListModels":      {"/admin/v1/models", ""},
	"importModel":          {"/admin/v1/models/new", "GGUF"},
	"removeModel":          {"/admin/v1/models/g", ""},
	"showModelFile":        {"/admin/v1/models/g", ""},
	"verifyModel":          {"/admin/v1/models/g/verify", ""},
	"pullModel":            {"/admin/v1/models/g/pull", `{"url":"https://h/a.gguf","digest":"sha256:00"}`},
	"cancelPull":           {"/admin/v1/models/g/pull", ""},
	"showStorage":          {"/admin/v1/storage", ""},
	"collectStorage":       {"/admin/v1/storage/collect", ""},
	"listDeployments":      {"/admin/v1/deployments", ""},
	"putDeployment":        {"/admin/v1/deployments/own", `{"tenant":"t1","engine":"embedded","model":"g"}`},
	"removeDeployment":     {"/admin/v1/deployments/own", ""},
	"changeCanary":         {"/admin/v1/deployments/own/canary", `{"model":"g","context":512}`},
	"removeCanary":         {"/admin/v1/deployments/own/canary", ""},
	"promoteCanary":        {"/admin/v1/deployments/own/canary/promote", ""},
	"listCaches":           {"/admin/v1/cache", ""},
	"purgeCache":           {"/admin/v1/cache/purge", `{"deployment":"own"}`},
	"plan":                 {"/admin/v1/plan", `{"name":"own","deployment":{"engine":"embedded","model":"g"}}`},
	"listPlacements":       {"/admin/v1/placements", ""},
	"listTenants":          {"/admin/v1/tenants", ""},
	"putTenant":            {"/admin/v1/tenants/t1", `{"name":"T1"}`},
	"removeTenant":         {"/admin/v1/tenants/t1", ""},
	"listKeys":             {"/admin/v1/keys", ""},
	"createKey":            {"/admin/v1/keys", `{"name":"new","tenant":"t1"}`},
	"showKey":              {"/admin/v1/keys/infxxxx", ""},
	"changeKey":            {"/admin/v1/keys/infxxxx", `{"name":"other"}`},
	"rotateKey":            {"/admin/v1/keys/infxxxx/rotate", ""},
	"revokeKey":            {"/admin/v1/keys/infxxxx", ""},
	"listUsers":            {"/admin/v1/users", ""},
	"createUser":           {"/admin/v1/users", `{"name":"eve","tenant":"t1"}`},
	"showUser":             {"/admin/v1/users/u1", ""},
	"changeUser":           {"/admin/v1/users/u1", `{"display":"U"}`},
	"removeUser":           {"/admin/v1/users/u1", ""},
	"setPassword":          {"/admin/v1/users/u1/password", `{"password":"another long one"}`},
	"endSessions":          {"/admin/v1/users/u1/sessions", ""},
	"listSessions":         {"/admin/v1/sessions?user=u1", ""},
	"endSession":           {"/admin/v1/sessions/s1", ""},
	"listRoles":            {"/admin/v1/roles", ""},
	"putRole":              {"/admin/v1/roles/t1%2Fcustom", `{"permissions":["infer"]}`},
	"removeRole":           {"/admin/v1/roles/t1%2Fcustom", ""},
	"listBindings":         {"/admin/v1/bindings", ""},
	"createBinding":        {"/admin/v1/bindings", `{"subject":"user:u1","role":"viewer","tenant":"t1"}`},
	"removeBinding":        {"/admin/v1/bindings/b-u1-developer", ""},
	"listAudit":            {"/admin/v1/audit?tenant=t1", ""},
	"verifyAudit":          {"/admin/v1/audit/verify", ""},
	"showUsage":            {"/admin/v1/usage?tenant=t1", ""},
	"listUsageRecords":     {"/admin/v1/usage/records?tenant=t1", ""},
	"showLimits":           {"/admin/v1/limits?tenant=t1", ""},
	"showOwnLimits":        {"/v1/limits", ""},
}

// A caller is a column of the matrix.
type caller struct{ name, token string }

// callers are users with each role, and two without.
func (r *rig) callers() []caller {
	out := []caller{{"nobody", ""}, {"none", r.enter("none")}}
	for _, at := range []string{"c", "t", "o"} {
		for _, role := range access.Roles {
			out = append(out, caller{at + ":" + role.ID, r.enter(role.ID + "-" + at)})
		}
	}
	return out
}

func matrixRig(t *testing.T) *rig {
	r := newRig(t)
	r.node("n1", "north", 4, whole)
	r.state.addDeployment("own", "t1")
	r.state.deployments["own"].Canary = &wire.Canary{Replicas: 1, Runs: &wire.Deployment{Version: 2, Engine: "embedded", Context: 9}}
	r.state.models["g"] = &wire.Model{Name: "g"}
	r.state.roles["t1/custom"] = &wire.AccessRole{Id: "t1/custom", Tenant: "t1", Version: 1, Permissions: []*wire.Permission{{Verb: "infer"}}}
	for _, id := range []string{"t1", "t2"} {
		r.state.tenants[id] = &wire.Tenant{Id: id}
	}
	r.state.settings["old"] = gateway.Setting{Name: "old", Value: "1"}
	r.state.addUser("none", "t1")
	for _, role := range access.Roles {
		r.state.addUser(role.ID+"-c", "", role.ID)
		r.state.addUser(role.ID+"-t", "t1", role.ID)
		r.state.addUser(role.ID+"-o", "t2", role.ID)
	}
	r.tellState()
	r.enter("u1") // s1
	return r
}

// ready gives the deployment own a free instance.
func (r *rig) ready() {
	r.g.Table().Observe(&wire.LoadDigest{Node: "n1", Boot: 1, Devices: []*wire.DeviceLoad{{Device: "cpu/n1", Seq: digests.Add(1), Instances: []*wire.InstanceLoad{
		{Instance: "i-own", Deployment: "own", Version: 1, State: wire.InstanceState_INSTANCE_STATE_READY, Slots: 4}}}}}, time.Now())
}

// TestMatrix asks for every operation that is described as everybody, of the real
// handler, and compares the answers with those written down.
func TestMatrix(t *testing.T) {
	r := matrixRig(t)
	callers := r.callers()
	base := r.state.clone()
	var head []string
	for _, c := range callers {
		head = append(head, c.name)
	}
	rows := map[string]string{}
	for path, item := range document(t).Paths.Map() {
		for method, op := range item.Operations() {
			ask, ok := asks[strings.TrimSuffix(op.OperationID, "Head")]
			if !ok {
				t.Errorf("%s %s: no request is written down for %s", method, path, op.OperationID)
				continue
			}
			var cells []string
			for _, c := range callers {
				r.ready()
				res, body := r.do(c.token, method, ask.path, ask.body, "Cookie", "lotabots_sso=f", "Content-Type", kindOf(ask.path))
				cells = append(cells, cell(t, op.OperationID+" as "+c.name, res.StatusCode, body))
				if method != "GET" && method != "HEAD" || op.OperationID == "finishSSO" {
					r.state.restore(base)
					r.tellState()
				}
			}
			rows[op.OperationID] = row(op.OperationID, cells)
		}
	}
	compareMatrix(t, row("operation", head), rows)
}

func cell(t *testing.T, what string, status int, body string) string {
	switch {
	case status < 400:
		return "yes"
	case status == 401:
		return "key"
	case status == 403:
		if body != "" && !strings.Contains(body, "missing") && !strings.Contains(body, "lack") {
			t.Errorf("%s: the refusal does not name what is missing: %s", what, body)
		}
		return "no"
	case status == 404:
		return "hid"
	}
	t.Errorf("%s: %d %s", what, status, body)
	return fmt.Sprint(status)
}

func row(name string, cells []string) string {
	out := fmt.Sprintf("%-22s", name)
	for _, c := range cells {
		out += fmt.Sprintf(" %-11s", c)
	}
	return strings.TrimRight(out, " ")
}

func compareMatrix(t *testing.T, head string, rows map[string]string) {
	t.Helper()
	if *update {
		text := matrixHead + head + "\n"
		for _, id := range slices.Sorted(maps.Keys(rows)) {
			text += rows[id] + "\n"
		}
		if err := os.WriteFile(matrixFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimPrefix(strings.TrimSpace(string(raw)), strings.TrimSpace(matrixHead)+"\n"), "\n")
	if lines[0] != head {
		t.Errorf("the columns are\n%s\nand written down are\n%s", head, lines[0])
	}
	written := map[string]string{}
	for _, l := range lines[1:] {
		id, _, _ := strings.Cut(l, " ")
		written[id] = l
	}
	for id, want := range written {
		if rows[id] == "" {
			t.Errorf("%s is written down and not described", id)
		} else if rows[id] != want {
			t.Errorf("answered\n%s\nand written down is\n%s", rows[id], want)
		}
	}
	for id := range rows {
		if written[id] == "" {
			t.Errorf("%s has no row: run go test ./gateway -run TestMatrix -update and read the difference", id)
		}
	}
}
