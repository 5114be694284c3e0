package session

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// opened is a session of ada's.
func (w *world) opened(s *Server) *spec.Granted {
	w.t.Helper()
	w.local("ada", "")
	g, err := s.begin(w.t.Context(), must(s.keys()), beginning{user: "id-ada", method: methodPassword, id: random(idLen), from: "10.0.0.1"})
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

func refreshed(t testing.TB, s *Server, token string) *spec.Granted {
	t.Helper()
	g, err := s.Refresh(t.Context(), spec.Refresh{Token: token, From: "10.0.0.2", Agent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestRefreshRotates(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	s, other := w.server("n1"), NewServer(w.config("n2"))
	g := w.opened(s)
	seen := map[string]bool{g.RefreshToken: true}
	for i := range 20 {
		w.pass(time.Hour)
		next := refreshed(t, []*Server{s, other}[i%2], g.RefreshToken)
		if seen[next.RefreshToken] || next.Session != g.Session || next.SessionExpiresMS != g.SessionExpiresMS {
			t.Fatalf("refresh %d gives %+v", i, next)
		}
		if _, err := checked(w.published(), next.AccessToken, w.clock()); err != nil {
			t.Fatal(err)
		}
		seen[next.RefreshToken], g = true, next
	}
	if record, _ := w.state.Session(g.Session); record.Generation != 21 || record.From != "10.0.0.2" {
		t.Errorf("the session is %v", record)
	}
}

// TestRefreshToldAgain: an answer that was lost is given once more, by any voter,
// also when the keys have been rotated meanwhile.
func TestRefreshToldAgain(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	s, other := w.server("n1"), NewServer(w.config("n2"))
	first := w.opened(s)
	next := refreshed(t, s, first.RefreshToken)
	w.pass(4 * time.Second)
	if err := s.change(t.Context(), rotate); err != nil {
		t.Fatal(err)
	}
	w.pass(5 * time.Second)
	again := refreshed(t, other, first.RefreshToken)
	if again.RefreshToken != next.RefreshToken {
		t.Error("a refresh told again is answered with another token")
	}
	refreshed(t, other, again.RefreshToken)
}

// TestReuseEndsTheSession: for the thief and for the owner.
func TestReuseEndsTheSession(t *testing.T) {
	for name, steps := range map[string]struct {
		between time.Duration
		further int // refreshes by the owner meanwhile
	}{"too late": {11 * time.Second, 1}, "two generations old": {time.Second, 2}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "n1")
			s := w.server("n1")
			stolen := w.opened(s).RefreshToken
			owned := stolen
			for range steps.further {
				owned = refreshed(t, s, owned).RefreshToken
			}
			w.pass(steps.between)
			_, err := s.Refresh(t.Context(), spec.Refresh{Token: stolen})
			wantCode(t, err, spec.CodeSessionReused)
			_, err = s.Refresh(t.Context(), spec.Refresh{Token: owned})
			wantCode(t, err, spec.CodeSessionEnded)
			if log := w.logged(); !strings.Contains(log, "used again") || strings.Contains(log, stolen) {
				t.Errorf("the log says %s", log)
			}
		})
	}
}

func TestRefreshRefusals(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	g := w.opened(s)
	token, ok := parseRefresh(g.RefreshToken)
	if !ok {
		t.Fatal("its own token does not parse")
	}
	stranger, guess, writes := token, token, len(w.state.applied)
	stranger.session = random(idLen)
	guess.family, guess.secret = random(secretLen), random(secretLen)
	for name, text := range map[string]string{
		"empty": "", "an API key": "lb-abcdefghij-" + random(secretLen), "typo": g.RefreshToken[:len(g.RefreshToken)-1] + "8",
		"unknown session": stranger.text(), "guessed family": guess.text(),
	} {
		_, err := s.Refresh(t.Context(), spec.Refresh{Token: text})
		if spec.CodeOf(err) != spec.CodeInvalidRefresh {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(w.state.applied) != writes {
		t.Error("a guess makes the cluster write")
	}
	refreshed(t, s, g.RefreshToken) // and harms nobody
	w.state.set(func() { w.state.settings[spec.SettingSessionEpoch] = "7" })
	_, err := s.Refresh(t.Context(), spec.Refresh{Token: g.RefreshToken})
	wantCode(t, err, spec.CodeSessionEnded)
	g = w.opened(s)
	w.pass(defaultSessionTTL)
	_, err = s.Refresh(t.Context(), spec.Refresh{Token: g.RefreshToken})
	wantCode(t, err, spec.CodeSessionEnded)
}

func TestRefreshToldAgainAfterALostAnswer(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	g := w.opened(s)
	lost := true
	w.state.after = func(c *wire.Command) error {
		if c.GetRefreshSession() != nil && lost {
			return spec.Errorf(spec.CodeOutcomeUnknown, "the leader was lost")
		}
		return nil
	}
	_, err := s.Refresh(t.Context(), spec.Refresh{Token: g.RefreshToken})
	wantCode(t, err, spec.CodeOutcomeUnknown)
	lost = false
	refreshed(t, s, refreshed(t, s, g.RefreshToken).RefreshToken)
}

func TestRefreshText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := func(name string, n int) string {
			return rapid.StringOfN(rapid.RuneFrom([]rune(alphabet)), n, n, n).Draw(t, name)
		}
		want := refreshToken{part("session", idLen), part("family", secretLen), rapid.Uint64Range(1, 1<<63).Draw(t, "generation"), part("secret", secretLen)}
		text := want.text()
		if got, ok := parseRefresh(text); !ok || got != want {
			t.Fatalf("%q reads as %+v, %v", text, got, ok)
		}
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		if c := rapid.Byte().Draw(t, "typo"); c != text[at] {
			if _, ok := parseRefresh(text[:at] + string(rune(c)) + text[at+1:]); ok {
				t.Fatalf("a typo at %d was not seen", at)
			}
		}
	})
	a, b := random(secretLen), random(secretLen)
	if a == b || len(a) != secretLen || !plain(a, secretLen) {
		t.Errorf("%q and %q are no random texts", a, b)
	}
}

func FuzzRefreshText(f *testing.F) {
	f.Add(refreshToken{random(idLen), random(secretLen), 1, random(secretLen)}.text())
	f.Add("lbr-")
	f.Add("lbr----")
	f.Fuzz(func(t *testing.T, text string) {
		if token, ok := parseRefresh(text); ok && token.text() != text {
			t.Errorf("%q reads as %q", text, token.text())
		}
	})
}
