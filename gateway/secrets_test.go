package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
)

// A lockedBuffer takes a log.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Secrets that are planted: each must be found nowhere that lasts or that
// somebody else reads.
const (
	plantedPassword = "PlantedPassword-1"
	plantedNew      = "PlantedPassword-2"
	plantedRefresh  = "lbr-planted-refresh-token"
	plantedCode     = "planted-one-time-code"
	plantedVerifier = "planted-verifier"
	plantedFlow     = "planted-flow"
	plantedState    = "planted-oidc-state"
	plantedClient   = "planted-client-secret"
)

// TestPlantedSecretsAreFoundNowhere: not in logs, errors, metrics, traces, audit
// entries, nor in any answer but the one that gives the secret.
func TestPlantedSecretsAreFoundNowhere(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	otel.SetTracerProvider(sdk.NewTracerProvider(sdk.WithSyncer(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) }) // the first one of all passes on to this for ever
	log := &lockedBuffer{}
	r := newRig(t, func(c *gateway.Config) {
		c.Log = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	r.node("n1", "north", 4, whole)
	key := r.state.addKey("pla", "t1", 0, "admin")
	r.state.addUser("pat", "t1", "owner@")
	r.state.users["pat"].Password = plantedPassword
	r.tellState()

	secrets := []string{plantedPassword, plantedNew, plantedRefresh, plantedCode, plantedVerifier, plantedFlow, plantedState, plantedClient,
		key, key[:len(key)-6], key[len(key)-38 : len(key)-6], "planted-family"}
	shown := &lockedBuffer{}
	ask := func(token, method, path, body string, headers ...string) string {
		_, answer := r.do(token, method, path, body, headers...)
		fmt.Fprintf(shown, "%s %s: %s\n", method, strings.Split(path, "?")[0], answer)
		return answer
	}
	give := func(token, method, path, body string, fields ...string) []string { // an answer that shows secrets, once
		_, answer := r.do(token, method, path, body)
		var out []string
		for _, f := range fields {
			secret := fieldOf(t, answer, f)
			out, secrets = append(out, secret), append(secrets, secret)
			answer = strings.ReplaceAll(answer, secret, "")
		}
		fmt.Fprintf(shown, "%s %s: %s\n", method, path, answer)
		return out
	}
	login := `{"name":"pat-name","password":"` + plantedPassword + `"}`
	in := give("", "POST", "/auth/v1/login", login, "access_token", "refresh_token")
	plant(r, ask, give, in[0], key)
	for _, body := range []string{login[:len(login)-1], `{"name":"` + plantedPassword + `","password":"x"}`, `{"name":"pat-name","password":["` + plantedPassword + `"]}`, `{"password":"` + plantedNew + `"}`} {
		ask("", "POST", "/auth/v1/login", body)
	}
	for _, fail := range []error{spec.Errorf(spec.CodeLoginFailed, "Wrong."), spec.Errorf(spec.CodeInternal, "It broke."), errors.New("broke"), spec.Errorf(spec.CodeNoLeader, "None.")} {
		r.doors.fail = fail
		ask("", "POST", "/auth/v1/login", login)
		ask("", "POST", "/auth/v1/refresh", `{"refresh_token":"`+plantedRefresh+`"}`)
		ask("", "POST", "/auth/v1/exchange", `{"code":"`+plantedCode+`","verifier":"`+plantedVerifier+`"}`)
		ask("", "GET", "/auth/v1/oidc/callback?code="+plantedCode+"&state="+plantedState, "", "Cookie", "lotabots_sso="+plantedFlow)
	}
	_, metrics := r.do(r.admin, "GET", "/metrics", "")
	if err := r.g.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	audit, _ := json.Marshal(r.state.audit)
	traces, _ := json.Marshal(spans.GetSpans())
	for where, text := range map[string]string{"the log": log.String(), "an answer": shown.String(), "metrics": metrics, "the audit log": string(audit), "traces": string(traces)} {
		if len(text) < 100 {
			t.Errorf("%s is nearly empty: nothing is looked at", where)
		}
		for _, s := range secrets {
			if at := strings.Index(text, s); at >= 0 {
				t.Errorf("%s has the secret %s: ...%s", where, s, text[max(0, at-200):min(len(text), at+100)])
			}
		}
	}
}

// plant sends the secrets wherever one may be sent, well and badly.
func plant(r *rig, ask func(token, method, path, body string, headers ...string) string, give func(token, method, path, body string, fields ...string) []string, session, key string) {
	for _, token := range []string{session, key} {
		for _, path := range []string{"keys", "users", "sessions", "roles", "bindings", "settings", "tokens", "audit", "tenants", "status"} {
			ask(token, "GET", "/admin/v1/"+path, "")
		}
		ask(token, "POST", "/v1/chat/completions", chatBody)
		ask(token, "GET", "/auth/v1/whoami", "")
		ask(token, "POST", "/v1/chat/completions", `{`)
		ask(token+"x", "GET", "/v1/models", "")
		ask(token[:len(token)-1], "GET", "/v1/models", "")
		ask(token, "GET", "/admin/v1/users/pat", "")
	}
	ask(key, "GET", "/admin/v1/keys/plaxxxx", "")
	made := give(key, "POST", "/admin/v1/keys", `{"name":"fresh"}`, "key")
	ask(made[0], "GET", "/admin/v1/keys", "") // denied
	give(key, "POST", "/admin/v1/keys/infxxxx/rotate", "", "key")
	ask(key, "PUT", "/admin/v1/secrets/oidc-client", `{"value":"`+plantedClient+`"}`)
	ask(key, "PUT", "/admin/v1/secrets/oidc-client", `{"value":["`+plantedClient+`"]}`)
	ask(key, "GET", "/auth/v1/keys.json", "")
	ask(key, "POST", "/admin/v1/users", `{"name":"new","password":"`+plantedNew+`"}`)
	ask(key, "POST", "/admin/v1/users", `{"name":"no good","password":"`+plantedNew+`"}`)
	ask(key, "POST", "/admin/v1/users", `{"name":"other","password":{"a":"`+plantedNew+`"}}`)
	ask(session, "PUT", "/admin/v1/users/pat/password", `{"password":"`+plantedNew+`","current":"wrong `+plantedNew+`"}`)
	ask("", "GET", "/auth/v1/oidc/login", "")
	ask("", "GET", "/auth/v1/oidc/callback?code="+plantedCode+"&state="+plantedState, "")
	ask("", "GET", "/auth/v1/oidc/callback?error=no&state="+plantedState, "", "Cookie", "lotabots_sso="+plantedFlow)
}
