package spec

// What a gateway asks of whoever may open sessions: the voters, which alone can
// open the keys that sign access tokens.

// A Login asks for a session by name and password.
type Login struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	From     string `json:"from"`  // address of the client
	Agent    string `json:"agent"` // its User-Agent
}

// A Refresh asks for the next tokens of a session.
type Refresh struct {
	Token string `json:"token"`
	From  string `json:"from"`
	Agent string `json:"agent"`
}

// An SSOBegin asks where a browser is to go to log in at the OIDC provider.
type SSOBegin struct {
	Callback  string `json:"callback"`  // absolute URL of the gateway's callback
	Loopback  string `json:"loopback"`  // where the answer goes on to: http://127.0.0.1:PORT/PATH of a CLI; empty: tokens are answered
	Challenge string `json:"challenge"` // S256 of the CLI's verifier; with Loopback
}

// An SSOBegun is the start of a log-in at the provider.
type SSOBegun struct {
	URL  string `json:"url"`  // of the provider, to which the browser is sent
	Flow string `json:"flow"` // sealed; to be kept by the browser until the callback
}

// An SSOFinish is what the provider's callback brought.
type SSOFinish struct {
	Flow  string `json:"flow"`
	State string `json:"state"`
	Code  string `json:"code"`
	From  string `json:"from"`
	Agent string `json:"agent"`
}

// An SSOFinished is the end of a log-in at the provider: tokens, or where the
// browser takes a one-time code for the CLI.
type SSOFinished struct {
	Granted  *Granted `json:"granted,omitempty"`
	Redirect string   `json:"redirect,omitempty"`
}

// An Exchange asks for a session by a one-time code.
type Exchange struct {
	Code     string `json:"code"`
	Verifier string `json:"verifier"` // whose challenge the log-in began with
	From     string `json:"from"`
	Agent    string `json:"agent"`
}

// A Granted is a session with its newest tokens. They are shown once.
type Granted struct {
	AccessToken      string `json:"access_token"`
	RefreshToken     string `json:"refresh_token"`
	ExpiresMS        int64  `json:"expires_ms"`         // of the access token
	SessionExpiresMS int64  `json:"session_expires_ms"` // whatever is refreshed
	Session          string `json:"session"`
	User             string `json:"user"`
	Index            uint64 `json:"state_index"` // at which every node knows the session
}

// Names of settings and secrets that sessions go by.
const (
	SessionSigningSecret = "session-signing"       // secret: Ed25519 keys; its public part is a SigningKeys
	OIDCClientSecret     = "oidc-client"           // secret: of this cluster at the provider
	SettingOIDCIssuer    = "oidc/issuer"           // URL of the provider
	SettingOIDCClientID  = "oidc/client-id"        // this cluster's at the provider
	SettingOIDCGroups    = "oidc/groups-claim"     // claim with the user's groups; unset: groups
	SettingOIDCScopes    = "oidc/scopes"           // besides openid, separated by spaces; unset: profile email groups
	SettingOIDCTenant    = "oidc/tenant"           // home of users whom single sign-on makes from then on; unset: none
	SettingAccessTTL     = "sessions/access-ttl"   // of access tokens, such as 10m
	SettingSessionTTL    = "sessions/session-ttl"  // of sessions, such as 720h
	SettingRotateEvery   = "sessions/rotate-every" // of the keys that sign access tokens, such as 720h
	SettingSessionEpoch  = "cluster/session-epoch" // number; sessions of an earlier epoch have ended. Unset: 0
)

// SigningKeys are the public keys of access tokens, in JSON.
type SigningKeys struct {
	Keys []SigningKey `json:"keys"`
}

// A SigningKey verifies access tokens: JWTs of EdDSA whose header names it as
// kid. Their claims are iss ("lotabots"), aud (the cluster's id), sub (the user's
// id), sid (the session's), epoch (a number: the cluster's session epoch), iat and exp.
type SigningKey struct {
	ID         string `json:"kid"`
	Public     []byte `json:"x"`            // 32 bytes
	NotAfterMS int64  `json:"not_after_ms"` // verifies nothing from then on; 0: the newest key
}

// TokenIssuer is the iss of access tokens.
const TokenIssuer = "lotabots"
