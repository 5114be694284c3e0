package session

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	upkeepEvery   = 2 * time.Second
	upkeepTimeout = 10 * time.Second
	// standInAfter is how long another voter lets the leader do what is to be done.
	standInAfter = 30 * time.Second
	// replaceAfter is how long the leader lets those who can open the keys seal them
	// to it, before it makes new ones.
	replaceAfter = 2 * time.Minute
	// keyLag is how much longer a key verifies than its last token lasts: by so much
	// may a gateway's clock and state be off.
	keyLag = time.Hour
)

// A step is what is to be done about a sealed secret.
type step string

const (
	nothing step = ""
	create  step = "create"
	rotate  step = "rotate"
	expel   step = "expel"   // rotate, because somebody who is no voter could open the keys
	reseal  step = "reseal"  // the same keys, to the voters that there are
	prune   step = "prune"   // of keys that verify nothing any more
	replace step = "replace" // of keys that no voter opens
)

// A view is what there is to decide by.
type view struct {
	exists    bool
	opens     bool          // this node can open it
	leads     bool          // this node is the leader
	lacking   bool          // a voter cannot open it
	orphaned  bool          // no voter can open it
	strangers bool          // somebody who is no voter can
	spent     bool          // a key verifies nothing any more
	age       time.Duration // of the newest key
	every     time.Duration // after which a new one is due
	amiss     time.Duration // for how long this node has seen it not as it should be
}

// due decides. The order is that of urgency; the next round does what is left.
func due(v view) step {
	switch {
	case !v.exists && v.leads:
		return create
	case !v.exists, !v.opens && !v.leads:
		return nothing
	case !v.opens && (v.orphaned || v.amiss >= replaceAfter):
		return replace
	case !v.opens, !v.leads && v.amiss < standInAfter:
		return nothing
	case v.strangers:
		return expel
	case v.lacking:
		return reseal
	case !v.leads:
		return nothing
	case v.age >= v.every:
		return rotate
	case v.spent:
		return prune
	}
	return nothing
}

// Maintain looks after the keys that sign access tokens, and after who can open
// them and the OIDC client's secret, until ctx ends. Every voter runs it: the
// leader acts, and others where a leader cannot.
func (s *Server) Maintain(ctx context.Context) {
	signing, client := &watched{name: spec.SessionSigningSecret}, &watched{name: spec.OIDCClientSecret}
	for {
		s.tend(ctx, signing, s.signingView, s.change)
		s.tend(ctx, client, s.clientView, s.changeClient)
		select {
		case <-ctx.Done():
			return
		case <-time.After(upkeepEvery/2 + rand.N(upkeepEvery)):
		}
	}
}

// watched is one secret as a voter watches it.
type watched struct {
	name  string
	since time.Time // it is not as it should be; zero: it is
	told  string    // error that the log has already
}

// tend does one round: what is due is written under the version that was seen, so
// that of several voters who act one succeeds.
func (s *Server) tend(ctx context.Context, w *watched, look func() view, act func(context.Context, step) error) {
	v := look()
	now := s.cfg.Clock()
	switch {
	case !v.exists || v.opens && !v.lacking && !v.strangers:
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = now
	}
	if !w.since.IsZero() {
		v.amiss = now.Sub(w.since)
	}
	do := due(v)
	if do == nothing {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, upkeepTimeout)
	defer cancel()
	err := act(ctx, do)
	switch {
	case err == nil:
		s.metrics.keys.WithLabelValues(string(do)).Inc()
		s.cfg.Log.Info("a sealed secret of sessions was changed", "secret", w.name, "change", string(do))
		w.told, w.since = "", time.Time{}
	case spec.CodeOf(err) == spec.CodeConflict || ctx.Err() != nil: // somebody else was faster, or the node stops
	case err.Error() != w.told:
		w.told = err.Error()
		s.cfg.Log.Warn("a sealed secret of sessions could not be changed; it is tried again", "secret", w.name, "change", string(do), "error", err)
	}
}

// sealView is what can be seen of a secret by its wraps.
func (s *Server) sealView(name string) view {
	v := view{leads: s.cfg.Leader()}
	sealed, ok := s.cfg.State.Secret(name)
	if !ok {
		return v
	}
	v.exists = true
	voters := VoterKeys(s.cfg.State.Nodes())
	able := holders(sealed, voters)
	v.lacking, v.orphaned = able < len(voters), able == 0
	for _, w := range sealed.GetWrapped() {
		if _, voter := voters[w.GetNode()]; !voter {
			v.strangers = true
		}
	}
	return v
}

// holders counts the voters that can open the secret.
func holders(sealed *wire.Secret, voters map[string][]byte) int {
	n := 0
	for id, public := range voters {
		if pki.SealedToKey(sealed, spec.NodeID(id), public) {
			n++
		}
	}
	return n
}

func (s *Server) signingView() view {
	v := s.sealView(spec.SessionSigningSecret)
	if !v.exists {
		return v
	}
	ring, err := s.keys()
	if err != nil {
		return v
	}
	now := s.cfg.Clock()
	v.opens = true
	v.age, v.every = now.Sub(time.UnixMilli(ring.newest().CreatedMS)), s.rotateEvery()
	v.spent = len(ring.without(now).keys) < len(ring.keys)
	return v
}

func (s *Server) rotateEvery() time.Duration {
	return s.duration(spec.SettingRotateEvery, defaultRotateEvery, longest)
}

// change carries out a step on the signing keys.
func (s *Server) change(ctx context.Context, do step) error {
	now := s.cfg.Clock()
	sealed, _ := s.cfg.State.Secret(spec.SessionSigningSecret)
	if do == create || do == replace {
		return s.write(ctx, spec.SessionSigningSecret, sealed.GetVersion(), &keyring{keys: []heldKey{newKey(now)}})
	}
	ring, err := s.keys()
	if err != nil {
		return err
	}
	switch do {
	case rotate:
		ring = ring.rotated(now, s.accessTTL()+keyLag)
	case expel: // no longer than tokens that are about last
		ring = ring.rotated(now, s.accessTTL())
	default:
		ring = ring.without(now)
	}
	return s.write(ctx, spec.SessionSigningSecret, sealed.GetVersion(), ring)
}

func (s *Server) write(ctx context.Context, name string, version uint64, ring *keyring) error {
	plain, public, err := ring.encode()
	if err != nil {
		return err
	}
	defer clear(plain)
	next, err := SealToVoters(name, plain, s.cfg.State.Nodes())
	if err != nil {
		return err
	}
	next.Public = public
	return s.put(ctx, next, version)
}

func (s *Server) put(ctx context.Context, next *wire.Secret, version uint64) error {
	_, err := s.propose(ctx, "session/"+string(s.cfg.Self), "", &wire.Command{Body: &wire.Command_PutSecret{
		PutSecret: &wire.PutSecret{Secret: next, ExpectVersion: version}}})
	return err
}

// clientView never lets the OIDC client's secret be made or replaced: only an
// administrator knows it.
func (s *Server) clientView() view {
	v := s.sealView(spec.OIDCClientSecret)
	if !v.exists {
		return view{}
	}
	sealed, _ := s.cfg.State.Secret(spec.OIDCClientSecret)
	plain, err := s.cfg.Identity.OpenSecret(sealed, s.cfg.Self)
	clear(plain)
	if v.opens = err == nil; !v.opens {
		return view{}
	}
	v.every = time.Hour // never reached: it has no age
	return v
}

// changeClient seals the OIDC client's secret to the voters that there are. One
// who was removed may have kept it: see the package's comment.
func (s *Server) changeClient(ctx context.Context, _ step) error {
	sealed, ok := s.cfg.State.Secret(spec.OIDCClientSecret)
	if !ok {
		return nil
	}
	plain, err := s.cfg.Identity.OpenSecret(sealed, s.cfg.Self)
	if err != nil {
		return err
	}
	defer clear(plain)
	next, err := SealToVoters(spec.OIDCClientSecret, plain, s.cfg.State.Nodes())
	if err != nil {
		return err
	}
	next.Public = slices.Clone(sealed.GetPublic())
	return s.put(ctx, next, sealed.GetVersion())
}

// SealToVoters seals plain, the value of the named secret, to every voter among
// the nodes.
func SealToVoters(name string, plain []byte, nodes []*wire.Node) (*wire.Secret, error) {
	voters := VoterKeys(nodes)
	if len(voters) == 0 {
		return nil, spec.Errorf(spec.CodeNotReady, "No voter is known to seal %s to.", name)
	}
	return pki.Seal(name, plain, voters)
}

// VoterKeys are the sealing keys of the voters that are members, by node id.
func VoterKeys(nodes []*wire.Node) map[string][]byte {
	out := map[string][]byte{}
	for _, n := range nodes {
		if n.GetState() != wire.NodeState_NODE_STATE_REMOVED && len(n.GetSealKey()) != 0 && slices.Contains(n.GetRoles(), string(spec.RoleVoter)) {
			out[n.GetId()] = n.GetSealKey()
		}
	}
	return out
}
