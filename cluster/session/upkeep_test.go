package session

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestDue(t *testing.T) {
	well := view{exists: true, opens: true, leads: true, age: time.Hour, every: 2 * time.Hour}
	with := func(change func(*view)) view { v := well; change(&v); return v }
	for name, c := range map[string]struct {
		v    view
		want step
	}{
		"all is well":                        {well, nothing},
		"none yet":                           {view{leads: true}, create},
		"none yet, a follower":               {view{}, nothing},
		"a voter lacks it":                   {with(func(v *view) { v.lacking = true }), reseal},
		"a removed voter has it":             {with(func(v *view) { v.strangers, v.lacking = true, true }), expel},
		"old":                                {with(func(v *view) { v.age = v.every }), rotate},
		"old, a follower":                    {with(func(v *view) { v.age, v.leads, v.amiss = v.every, false, time.Hour }), nothing},
		"an ended key":                       {with(func(v *view) { v.spent = true }), prune},
		"a follower waits":                   {with(func(v *view) { v.leads, v.lacking, v.amiss = false, true, standInAfter-1 }), nothing},
		"a follower stands in":               {with(func(v *view) { v.leads, v.lacking, v.amiss = false, true, standInAfter }), reseal},
		"a leader that cannot open waits":    {with(func(v *view) { v.opens, v.lacking, v.amiss = false, true, replaceAfter-1 }), nothing},
		"a leader that cannot open gives up": {with(func(v *view) { v.opens, v.lacking, v.amiss = false, true, replaceAfter }), replace},
		"nobody can open":                    {with(func(v *view) { v.opens, v.lacking, v.orphaned = false, true, true }), replace},
		"a follower that cannot open":        {with(func(v *view) { v.opens, v.leads, v.orphaned, v.amiss = false, false, true, time.Hour }), nothing},
	} {
		if got := due(c.v); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestRotatedKeysVerifyWhatTheySigned through a whole rotation, at every moment
// and by the keys that were published then.
func TestRotatedKeysVerifyWhatTheySigned(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	w.state.settings[spec.SettingRotateEvery] = "3h"
	g := w.opened(s)
	signers := map[any]bool{}
	before := w.published()
	for range 60 {
		w.pass(5 * time.Minute)
		w.tend(s)
		if _, err := checked(w.published(), g.AccessToken, w.clock()); err != nil {
			t.Fatalf("a token of five minutes ago: %v", err)
		}
		g = refreshed(t, s, g.RefreshToken)
		// A gateway that is five minutes behind never meets a key that it has not heard of.
		if _, err := checked(before, g.AccessToken, w.clock()); err != nil && len(signers) > 0 && w.clock().Sub(created(w, s)) < publishedFor {
			t.Fatalf("a token signed by a key of this minute: %v", err)
		}
		before = w.published()
		signers[kidOf(t, g.AccessToken)] = true
		if n := len(before.Keys); n > 2 {
			t.Fatalf("%d keys are kept", n)
		}
		if newest := before.Keys[len(before.Keys)-1]; newest.NotAfterMS != 0 {
			t.Fatalf("the newest key ends at %d", newest.NotAfterMS)
		}
	}
	if len(signers) != 2 {
		t.Errorf("%d keys signed in five hours, want 2", len(signers))
	}
	w.pass(2 * time.Hour) // rotated a second time, at five hours or here
	w.tend(s)
	w.pass(publishedFor + defaultAccessTTL + keyLag)
	w.tend(s)
	if keys := w.published().Keys; len(keys) != 1 {
		t.Errorf("ended keys are still published: %+v", keys)
	}
}

func created(w *world, s *Server) time.Time {
	return time.UnixMilli(must(s.keys()).newest().CreatedMS)
}

func kidOf(t testing.TB, token string) any {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	raw, err := encodingOf(head)
	if err != nil {
		t.Fatal(err)
	}
	var h map[string]any
	if err := json.Unmarshal(raw, &h); err != nil || h["alg"] != "EdDSA" {
		t.Fatalf("the header is %s, %v", raw, err)
	}
	return h["kid"]
}

// TestARemovedVoterOpensNothingNew, and its last keys end within minutes.
func TestARemovedVoterOpensNothingNew(t *testing.T) {
	w := newWorld(t, "n1", "n2", "n3")
	s := w.server("n1")
	old, _ := w.state.Secret(spec.SessionSigningSecret)
	if _, err := w.ids["n3"].OpenSecret(old, "n3"); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	w.remove("n3")
	w.tend(s)
	sealed, _ := w.state.Secret(spec.SessionSigningSecret)
	if pki.SealedTo(sealed, "n3") || !pki.SealedTo(sealed, "n2") {
		t.Fatalf("sealed to %v", sealed.Wrapped)
	}
	keys := w.published().Keys
	if len(keys) != 2 || keys[0].NotAfterMS == 0 || keys[0].NotAfterMS > w.clock().Add(publishedFor+defaultAccessTTL).UnixMilli() {
		t.Fatalf("the keys are %+v", keys)
	}
	stolen := must(w.ids["n3"].OpenSecret(old, "n3"))
	spliced := proto.CloneOf(sealed) // its old data key opens no new value
	spliced.Wrapped = append(spliced.Wrapped, wrapOf(old, "n3"))
	if plain, err := w.ids["n3"].OpenSecret(spliced, "n3"); err == nil {
		t.Fatalf("the old data key opens the new secret: %d bytes, of %d before", len(plain), len(stolen))
	}
}

func wrapOf(s *wire.Secret, node string) *wire.WrappedKey {
	for _, w := range s.Wrapped {
		if w.Node == node {
			return w
		}
	}
	return nil
}

func TestTheOIDCClientsSecretFollowsTheVoters(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	sealed, err := SealToVoters(spec.OIDCClientSecret, []byte("of the client"), w.state.Nodes())
	if err != nil {
		t.Fatal(err)
	}
	sealed.Version = 1
	w.state.secrets[spec.OIDCClientSecret] = sealed
	w.voter("n3")
	s := w.server("n1")
	w.remove("n2")
	w.tend(s)
	now, _ := w.state.Secret(spec.OIDCClientSecret)
	if plain, err := w.ids["n3"].OpenSecret(now, "n3"); err != nil || string(plain) != "of the client" {
		t.Errorf("n3 opens %q, %v", plain, err)
	}
	if pki.SealedTo(now, "n2") {
		t.Error("it is sealed to a removed node")
	}
	version := now.Version
	w.tend(s)
	if now, _ = w.state.Secret(spec.OIDCClientSecret); now.Version != version {
		t.Error("it is sealed again though nothing changed")
	}
}

// TestARestoredClusterMakesNewKeys at once: those of the backup open on no node.
func TestARestoredClusterMakesNewKeys(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	g := w.opened(w.server("n1"))
	w.voter("n1") // another machine of that id
	w.remove("n2")
	s := w.server("n1")
	next := refreshed(t, s, g.RefreshToken)
	if _, err := checked(w.published(), next.AccessToken, w.clock()); err != nil {
		t.Error(err)
	}
	if _, err := checked(w.published(), g.AccessToken, w.clock()); err == nil {
		t.Error("a token of the cluster of before is taken")
	}
}

// TestMaintain runs it as the node does, on three voters.
func TestMaintain(t *testing.T) {
	w := newWorld(t, "n1", "n2", "n3")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	for id := range w.ids {
		go func() {
			NewServer(w.config(id)).Maintain(ctx)
			done <- struct{}{}
		}()
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, ok := w.state.Secret(spec.SessionSigningSecret); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody makes the keys")
		}
	}
	cancel()
	for range w.ids {
		<-done
	}
	if sealed, _ := w.state.Secret(spec.SessionSigningSecret); sealed.Version != 1 || len(sealed.Wrapped) != 3 {
		t.Errorf("version %d, sealed to %d", sealed.Version, len(sealed.Wrapped))
	}
}

// TestUpkeepConverges: voters come, go and are set up anew, leaders change, the
// clock runs, some writes fail. In the end every voter opens the keys, nobody else
// does, and nothing is written any more.
func TestUpkeepConverges(t *testing.T) {
	var machines []*pki.Identity
	for range 8 {
		machines = append(machines, must(pki.CreateIdentity(t.TempDir())))
	}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		used := 0
		w.machine = func() *pki.Identity { used++; return machines[used%len(machines)] }
		for _, id := range []spec.NodeID{"n0", "n1", "n2"} {
			w.voter(id)
		}
		servers, eyes := map[spec.NodeID]*Server{}, map[spec.NodeID]*watched{}
		begin := func(id spec.NodeID) {
			servers[id], eyes[id] = NewServer(w.config(id)), &watched{name: spec.SessionSigningSecret}
		}
		for id := range w.ids {
			begin(id)
		}
		failing := false
		w.state.before = func(*wire.Command) error {
			if failing {
				return spec.Errorf(spec.CodeNoLeader, "nobody leads")
			}
			return nil
		}
		round := func(d time.Duration) {
			w.pass(d)
			for _, n := range w.state.Nodes() {
				if id := spec.NodeID(n.Id); n.State == wire.NodeState_NODE_STATE_ACTIVE {
					servers[id].tend(t.Context(), eyes[id], servers[id].signingView, servers[id].change)
				}
			}
		}
		draw := func() spec.NodeID { return spec.NodeID(fmt.Sprintf("n%d", rapid.IntRange(0, 4).Draw(rt, "node"))) }
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0:
				id := draw()
				w.voter(id)
				begin(id)
			case 1:
				if id := draw(); len(VoterKeys(w.state.Nodes())) > 1 && w.ids[id] != nil {
					w.remove(id)
				}
			case 2:
				w.leader = draw()
			case 3:
				failing = !failing
			case 4:
				round(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "seconds")) * time.Second)
			}
		}
		failing = false
		w.leader = spec.NodeID(slices.Min(slices.Collect(maps.Keys(VoterKeys(w.state.Nodes())))))
		for range 15 { // until the keys that a removed voter had have ended, too
			round(replaceAfter)
		}
		sealed, ok := w.state.Secret(spec.SessionSigningSecret)
		if !ok {
			rt.Fatal("there are no keys")
		}
		voters := VoterKeys(w.state.Nodes())
		for id := range voters {
			if _, err := servers[spec.NodeID(id)].keys(); err != nil {
				rt.Fatalf("%s cannot open the keys: %v", id, err)
			}
		}
		if len(sealed.Wrapped) != len(voters) {
			rt.Fatalf("sealed to %d, and there are %d voters", len(sealed.Wrapped), len(voters))
		}
		version := sealed.Version
		round(time.Second)
		if sealed, _ = w.state.Secret(spec.SessionSigningSecret); sealed.Version != version {
			rt.Fatal("it does not come to rest")
		}
	})
}
