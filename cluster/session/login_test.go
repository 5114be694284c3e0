package session

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const secretWord = "correct horse battery staple"

// TestLogin is by real argon2id, at the costs that are in force.
func TestLogin(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	s := w.server("n1")
	hash, err := s.HashPassword(t.Context(), "ada", secretWord)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=1$") || strings.Contains(hash, secretWord) {
		t.Fatalf("the hash is %s", hash)
	}
	u := w.local("ada", hash)
	g, err := NewServer(w.config("n2")).Login(t.Context(), spec.Login{Name: "ada", Password: secretWord, From: "10.0.0.7", Agent: "curl/8\nX: y"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checked(w.published(), g.AccessToken, w.clock()); err != nil {
		t.Error(err)
	}
	record, ok := w.state.Session(g.Session)
	if !ok || record.User != u.Id || record.Method != "password" || record.From != "10.0.0.7" || record.Agent != "curl/8X: y" || record.Generation != 1 {
		t.Errorf("the session is %v", record)
	}
	last := w.state.applied[len(w.state.applied)-1]
	if last.Principal != "user/"+u.Id || last.From != "10.0.0.7" || last.AtMs != w.clock().UnixMilli() {
		t.Errorf("the command is by %q from %q at %d", last.Principal, last.From, last.AtMs)
	}
	for _, text := range []string{w.logged(), record.String(), last.String()} {
		for _, secret := range []string{secretWord, g.RefreshToken, g.AccessToken} {
			if strings.Contains(text, secret) {
				t.Error("a secret stands in the log or in the state")
			}
		}
	}
}

// cheaply has a server hash at costs that let a test try often.
func cheaply(s *Server) *Server {
	s.passwords.costs = costs{memory: 64, passes: 1, threads: 1}
	return s
}

func TestLoginRefusals(t *testing.T) {
	w := newWorld(t, "n1")
	s := cheaply(w.server("n1"))
	hash := must(s.HashPassword(t.Context(), "", secretWord))
	w.local("ada", hash)
	w.local("sso", "")
	w.local("damaged", "$argon2id$v=19$m=4294967295,t=1,p=1$AAAA$AAAA")
	off := w.local("off", hash)
	off.DisabledMs = 1
	robot := w.local("robot", hash)
	robot.Service = true
	for _, c := range []struct {
		name, password string
		want           spec.Code
	}{
		{"ada", secretWord + "r", spec.CodeLoginFailed},
		{"ada", "", spec.CodeLoginFailed},
		{"nobody", secretWord, spec.CodeLoginFailed},
		{"", "", spec.CodeLoginFailed},
		{"sso", "", spec.CodeLoginFailed},
		{"damaged", "", spec.CodeLoginFailed},
		{"robot", secretWord, spec.CodeLoginFailed},
		{"off", "no idea", spec.CodeLoginFailed}, // that it is disabled is not told to just anybody
		{"off", secretWord, spec.CodeUserDisabled},
		{"ada", strings.Repeat("x", maxPassword+1), spec.CodeLoginFailed},
		{"ada\xff", secretWord, spec.CodeLoginFailed},
	} {
		_, err := s.Login(t.Context(), spec.Login{Name: c.name, Password: c.password})
		if spec.CodeOf(err) != c.want {
			t.Errorf("%q with %q: %v, want %s", c.name, c.password, err, c.want)
		}
		if err != nil && c.password != "" && strings.Contains(err.Error(), c.password) {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	if last := w.state.applied[len(w.state.applied)-1]; last.GetPutSecret() == nil { // that of the keys
		t.Errorf("something was written: %v", last)
	}
}

// TestUnknownUsersTakeAsLong: an unknown name must cost one hash at present costs.
func TestUnknownUsersTakeAsLong(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	s.passwords.costs = costs{memory: 16 << 10, passes: 3, threads: 1} // 20 ms and more
	w.local("ada", must(s.HashPassword(t.Context(), "", secretWord)))
	w.local("sso", "")
	names := []string{"ada", "nobody", "sso"}
	best := map[string]time.Duration{}
	for range 6 { // the least disturbed counts
		for _, name := range names {
			begin := time.Now()
			if _, err := s.Login(t.Context(), spec.Login{Name: name, Password: "not the password"}); spec.CodeOf(err) != spec.CodeLoginFailed {
				t.Fatal(err)
			}
			if took := time.Since(begin); best[name] == 0 || took < best[name] {
				best[name] = took
			}
		}
	}
	for _, name := range names[1:] { // without the hash it would be a hundredth
		if best[name] < best["ada"]/20 || best[name] > best["ada"]*20 {
			t.Errorf("%s takes %s, a known user %s", name, best[name], best["ada"])
		}
	}
}

// TestCostsAreRaisedAtLogin: a hash of an earlier build is replaced, and a failure
// to do so does not stop the log-in.
func TestCostsAreRaisedAtLogin(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	s.passwords.costs = costs{memory: 128, passes: 2, threads: 1}
	cheap := costs{memory: 64, passes: 1, threads: 1}
	salt := []byte("0123456789abcdef")
	w.local("ada", phc{cheap, salt, cheap.key(secretWord, salt, 32)}.text())
	w.state.before = func(c *wire.Command) error {
		if c.GetPutUser() != nil {
			return spec.Errorf(spec.CodeNoLeader, "nobody leads")
		}
		return nil
	}
	if _, err := s.Login(t.Context(), spec.Login{Name: "ada", Password: secretWord}); err != nil {
		t.Fatal(err)
	}
	if u, _ := w.state.User("id-ada"); !strings.Contains(u.Password, "m=64,") {
		t.Fatalf("the user is %v", u)
	}
	w.state.before = nil
	for range 2 {
		if _, err := s.Login(t.Context(), spec.Login{Name: "ada", Password: secretWord}); err != nil {
			t.Fatal(err)
		}
	}
	if u, _ := w.state.User("id-ada"); !strings.Contains(u.Password, "m=128,t=2,p=1") || u.Version != 2 {
		t.Errorf("the user is %v", u)
	}
}

// TestNoSessionByAPasswordThatWasSetMeanwhile: it was checked before, and the session
// would come after those that ended with it.
func TestNoSessionByAPasswordThatWasSetMeanwhile(t *testing.T) {
	for what, c := range map[string]struct {
		change func(u *wire.User)
		want   spec.Code
	}{
		"the password": {func(u *wire.User) { u.Password = asKept("another "+secretWord, 1) }, spec.CodeLoginFailed},
		"the email":    {func(u *wire.User) { u.Email = "ada@example.org" }, ""},
		"its hash":     {func(u *wire.User) { u.Password = asKept(secretWord, 2) }, ""},
	} {
		w := newWorld(t, "n1")
		s := w.server("n1")
		s.passwords.costs = costs{memory: 64, passes: 1, threads: 1}
		w.local("ada", asKept(secretWord, 1))
		done := false
		w.state.before = func(cmd *wire.Command) error {
			if cmd.GetPutSession() != nil && !done {
				done = true
				u, _ := w.state.User("id-ada")
				u = proto.CloneOf(u)
				c.change(u)
				w.state.apply(&wire.Command{RequestId: "meanwhile", Body: &wire.Command_PutUser{PutUser: &wire.PutUser{User: u, ExpectVersion: u.Version}}})
			}
			return nil
		}
		granted, err := s.Login(t.Context(), spec.Login{Name: "ada", Password: secretWord})
		refused := c.want != ""
		if refused != (err != nil) || refused && spec.CodeOf(err) != c.want || len(w.state.sessions) != map[bool]int{true: 0, false: 1}[refused] {
			t.Errorf("%s was set: %v, %v, want %q; %d sessions", what, granted, err, c.want, len(w.state.sessions))
		}
	}
}

// asKept is what the state keeps of a password, at a low cost.
func asKept(password string, passes uint32) string {
	c, salt := costs{memory: 64, passes: passes, threads: 1}, []byte("0123456789abcdef")
	return phc{c, salt, c.key(password, salt, 32)}.text()
}

func TestWeakPasswords(t *testing.T) {
	s := NewServer(newWorld(t).config("n1"))
	for _, weak := range []string{"", "short", "elevenchars", "aaaaaaaaaaaaaaa", "grace.hopper@navy", "GRACE.HOPPER@navy ", strings.Repeat("long", 257), "not utf-8 \xff at all"} {
		if _, err := s.HashPassword(t.Context(), "grace.hopper@navy", weak); spec.CodeOf(err) != spec.CodeInvalidRequest {
			t.Errorf("%q: %v", weak, err)
		}
	}
	if err := strong("ada", "зимняясказка"); err != nil { // twelve characters
		t.Error(err)
	}
}

// TestFewPasswordsAtATime: beyond those that hash and those that wait, one is told
// to come back.
func TestFewPasswordsAtATime(t *testing.T) {
	h := newHasher(newMetrics(nil))
	var held []func()
	for range hashesAtOnce {
		release, err := h.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, release)
	}
	waiting, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	for range hashesWaiting {
		go func() {
			release, err := h.take(waiting)
			if err == nil {
				release()
			}
			gone <- err
		}()
	}
	for len(h.queue) < cap(h.queue) {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.take(t.Context()); spec.CodeOf(err) != spec.CodeBusy {
		t.Errorf("one too many: %v", err)
	}
	held[0]() // one who waits goes on, and another, and another
	for range hashesWaiting {
		if err := <-gone; err != nil {
			t.Error(err)
		}
	}
	held[0], _ = h.take(t.Context())
	cancel()
	if _, err := h.take(waiting); spec.CodeOf(err) != spec.CodeBusy {
		t.Errorf("one who gave up: %v", err)
	}
	held[0]()
	held[1]()
	if len(h.queue) != 0 || len(h.running) != 0 {
		t.Errorf("%d wait and %d run, though all have gone", len(h.queue), len(h.running))
	}
}

func TestLoginIsAskedForAgainUnderTheSameRequest(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	w.local("ada", "")
	lost := 2
	w.state.after = func(*wire.Command) error {
		if lost--; lost >= 0 {
			return spec.Errorf(spec.CodeOutcomeUnknown, "the leader was lost")
		}
		return nil
	}
	if _, err := s.begin(t.Context(), must(s.keys()), beginning{user: "id-ada", method: methodPassword, id: random(idLen)}); err != nil {
		t.Fatal(err)
	}
	if len(w.state.sessions) != 1 {
		t.Errorf("%d sessions", len(w.state.sessions))
	}
	lost = 10
	_, err := s.begin(t.Context(), must(s.keys()), beginning{user: "id-ada", method: methodPassword, id: random(idLen)})
	wantCode(t, err, spec.CodeOutcomeUnknown)
}

func TestVoterThatIsBehindOpensNothing(t *testing.T) {
	w := newWorld(t, "n1")
	w.server("n1")
	c := w.config("n1")
	c.Barrier = func(context.Context) error { return spec.Errorf(spec.CodeNoLeader, "nobody leads") }
	s := NewServer(c)
	_, err := s.Login(t.Context(), spec.Login{Name: "ada", Password: secretWord})
	wantCode(t, err, spec.CodeNotReady)
	_, err = s.Refresh(t.Context(), spec.Refresh{Token: refreshToken{random(idLen), random(secretLen), 1, random(secretLen)}.text()})
	wantCode(t, err, spec.CodeNotReady)
}

func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY")
	f.Add("$argon2id$v=19$m=65536,t=3,p=1$$")
	f.Add("$argon2i$v=19$m=1,t=1,p=1$AAAA$AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		p, ok := parsePHC(text)
		if !ok {
			return
		}
		if p.text() != text {
			t.Errorf("%q reads as %q", text, p.text())
		}
		if p.memory > maxMemory || p.passes == 0 || p.passes > maxPasses || p.threads == 0 || len(p.hash) < 16 {
			t.Errorf("%q has costs %+v", text, p.costs)
		}
	})
}
