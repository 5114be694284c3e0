package session

import (
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Lives of tokens, keys and sessions where the settings say nothing, and between
// what they may be set.
const (
	defaultAccessTTL   = 10 * time.Minute
	defaultSessionTTL  = 30 * 24 * time.Hour
	defaultRotateEvery = 30 * 24 * time.Hour
	shortest           = time.Second
	longestAccess      = 24 * time.Hour
	longest            = 10 * 365 * 24 * time.Hour
)

// grant makes what the owner of a session gets: an access token, which ends with
// the session and with the key that signs it at the latest.
func (s *Server) grant(ring *keyring, record *wire.Session, refresh refreshToken, index uint64) (*spec.Granted, error) {
	now := s.cfg.Clock()
	k := ring.signer(now)
	expires := min(now.Add(s.accessTTL()).Unix(), record.GetExpiresMs()/1000)
	if k.NotAfterMS != 0 {
		expires = min(expires, k.NotAfterMS/1000)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": spec.TokenIssuer, "aud": s.cfg.Cluster, "sub": record.GetUser(), "sid": record.GetId(),
		"epoch": record.GetEpoch(), "iat": now.Unix(), "exp": expires,
	})
	t.Header["kid"] = k.ID
	access, err := t.SignedString(k.private())
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInternal, Message: "The access token could not be signed.", Err: err}
	}
	return &spec.Granted{
		AccessToken: access, RefreshToken: refresh.text(), ExpiresMS: expires * 1000, SessionExpiresMS: record.GetExpiresMs(),
		Session: record.GetId(), User: record.GetUser(), Index: index,
	}, nil
}

func (s *Server) accessTTL() time.Duration {
	return s.duration(spec.SettingAccessTTL, defaultAccessTTL, longestAccess)
}

// duration is what a setting says, brought between its bounds.
func (s *Server) duration(setting string, unset, most time.Duration) time.Duration {
	text, ok := s.cfg.State.Setting(setting)
	if !ok || text == "" {
		return unset
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		s.cfg.Log.Warn("a setting is no duration such as 10m: the default is in force", "setting", setting, "value", text, "default", unset)
		return unset
	}
	return min(max(d, shortest), most)
}

// epoch is the present session epoch.
func (s *Server) epoch() uint64 {
	text, _ := s.cfg.State.Setting(spec.SettingSessionEpoch)
	n, _ := strconv.ParseUint(text, 10, 64) // 0: it never rose
	return n
}
