package models

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/blobs"
)

// A node gives up a copy of a model that is in the state when all of the model's homes
// have promised to keep theirs: nodes may see the cluster differently for a while, and
// two of them must not each take the other for the one that keeps the last copy.

// promiseTime is how long a copy is kept for who has asked.
const promiseTime = 5 * time.Minute

// errKept says why a copy stays that was to go.
var errKept = errors.New("the copy is kept")

// remove removes what is to go, if it still may.
func (k *Keeper) remove(ctx context.Context, s scene, d Doomed) error {
	digest, err := hex.DecodeString(d.Digest)
	if err != nil {
		return err
	}
	key := string(digest)
	if m := k.model(d.Model); m != nil && k.lastOf(d, digest) && !k.promises(ctx, s.view, m) {
		return fmt.Errorf("%w: not all that are to have it promise to keep theirs", errKept)
	}
	k.mu.Lock()
	_, promised := k.promisedLocked(time.Now())[key]
	k.mu.removing[key] = !promised
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		delete(k.mu.removing, key)
		k.mu.Unlock()
	}()
	if promised {
		return fmt.Errorf("%w: another node was promised it", errKept)
	}
	return k.cfg.Store.Remove(digest, blobs.Kind(d.Kind), s.now)
}

// lastOf tells whether what is to go may be the last that there is of a model: not where
// a damaged copy was set aside, or the whole is here beside a part.
func (k *Keeper) lastOf(d Doomed, digest []byte) bool {
	kind := blobs.Kind(d.Kind)
	return kind == blobs.Whole || kind == blobs.Partial && !k.cfg.Store.Has(digest)
}

// promises asks the model's homes to keep their copies.
func (k *Keeper) promises(ctx context.Context, v View, m *wire.Model) bool {
	homes := Homes(v, m)
	for _, id := range homes {
		kept := false
		if id == k.cfg.Self {
			return false // it is wanted here
		}
		path := "/keep/" + segment(m.GetName()) + "?digest=" + hex.EncodeToString(m.GetDigest())
		if err := k.ask(ctx, http.MethodPost, id, path, reportTime, &kept); err != nil || !kept {
			return false
		}
	}
	return len(homes) > 0
}

// keep promises another node to keep this one's copy, if it is one that is to have it.
func (k *Keeper) keep(name, digest string) bool {
	v := k.cfg.View()
	at := slices.IndexFunc(v.Models, func(m *wire.Model) bool { return m.GetName() == name })
	if at < 0 || !v.Fresh || hex.EncodeToString(v.Models[at].GetDigest()) != digest || !slices.Contains(Homes(v, v.Models[at]), k.cfg.Self) {
		return false
	}
	key := string(v.Models[at].GetDigest())
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mu.removing[key] || !k.cfg.Store.Has(v.Models[at].GetDigest()) {
		return false
	}
	k.mu.promised[key] = time.Now().Add(promiseTime)
	return true
}

// promisedLocked are the digests of the copies that are kept for others.
func (k *Keeper) promisedLocked(now time.Time) map[string]bool {
	out := map[string]bool{}
	for key, until := range k.mu.promised {
		if now.Before(until) {
			out[key] = true
		} else {
			delete(k.mu.promised, key)
		}
	}
	return out
}

// Hold keeps what no record names until it is called back: a model that is being imported
// is here before the state knows it.
func (k *Keeper) Hold() (done func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.holds++
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.mu.holds--
	}
}
