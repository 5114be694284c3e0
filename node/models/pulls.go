package models

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/whole"
)

// A noted pull is one that goes on after a restart. Its URL may hold a secret: the file
// is its owner's alone.
type noted struct {
	Name   string      `json:"name"`
	URL    string      `json:"url"`
	Digest string      `json:"digest"`
	Caller spec.Caller `json:"caller"` // whose right to it is held against the state when the model is here
}

// notePullsLocked writes down the pulls under way. Without the note they go on all the
// same, until the process ends.
func (k *Keeper) notePullsLocked() {
	if k.cfg.Pulls == "" {
		return
	}
	all := []noted{}
	for _, p := range k.mu.pulls {
		if !p.ended {
			all = append(all, noted{p.name, p.url.String(), "sha256:" + hex.EncodeToString(p.digest), p.caller})
		}
	}
	if err := keepNoted(k.cfg.Pulls, all); err != nil {
		k.cfg.Log.Warn("pulls under way could not be noted: a restart ends them", "error", err)
	}
}

func keepNoted(name string, all []noted) error {
	if len(all) == 0 {
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return whole.Write(name, raw)
}

// resumePulls begins again what was under way when the process ended.
func (k *Keeper) resumePulls(ctx context.Context) {
	if k.cfg.Pulls == "" {
		return
	}
	raw, err := os.ReadFile(k.cfg.Pulls)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var all []noted
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		k.cfg.Log.Warn("pulls that were under way are not known", "file", k.cfg.Pulls, "error", err)
		return
	}
	for _, p := range all {
		if _, err := k.Pull(spec.WithCaller(ctx, p.Caller), p.Name, p.URL, p.Digest); err != nil {
			k.cfg.Log.Warn("a pull is not gone on with", "model", p.Name, "error", err)
		} else {
			k.cfg.Log.Info("a pull goes on after the node's restart", "model", p.Name)
		}
	}
}
