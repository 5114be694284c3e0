package models

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/egress"
	"github.com/lotabots/lotabots/cluster/blob"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/blobs"
)

const (
	dialTime  = 30 * time.Second // for a connection, and for the head of an answer
	stallTime = time.Minute      // that a server may send nothing
	tries     = 6                // without a byte in between
	pullWait  = time.Second      // between two, at first
	maxPull   = 1 << 40          // bytes
)

// A pull is a model on its way from a URL, or one that did not come.
type pull struct {
	name   string
	url    *url.URL
	digest []byte
	began  time.Time
	cancel context.CancelFunc
	hold   func()      // nil: the model is not here
	caller spec.Caller // for whom

	// Guarded by Keeper.mu.
	bytes, before, total int64
	ended                bool
	err                  error
}

// Pull begins to bring a model of that name here from a URL, or goes on with it, and
// returns at once: how it stands is in this node's Report. digest is what it must have,
// sha256:HEX. ctx says for whom it is written into the state once it is here.
func (k *Keeper) Pull(ctx context.Context, name, from, digest string) (Transfer, error) {
	u, sum, err := k.mayPull(from, digest)
	if err != nil {
		return Transfer{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.mu.pulls[name]; p != nil && !p.ended {
		if p.url.String() == u.String() && string(p.digest) == string(sum) {
			return k.transfer(p), nil
		}
		return Transfer{}, &spec.Error{Code: spec.CodeConflict, Message: fmt.Sprintf("Model %s is being pulled already, from %s.", name, shown(p.url)),
			Hint: "Wait for it, or end it with lotabots models pull --cancel " + name + "."}
	}
	if k.mu.closed {
		return Transfer{}, spec.Errorf(spec.CodeDraining, "node %s is going down", k.cfg.Self)
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &pull{name: name, url: u, digest: sum, began: time.Now(), cancel: cancel}
	p.caller, _ = spec.CallerOf(ctx)
	k.mu.pulls[name] = p
	k.notePullsLocked()
	k.all.Go(func() { defer cancel(); k.runPull(own, p) })
	return k.transfer(p), nil
}

// mayPull reads a URL and a digest, and tells why nothing is pulled from there.
func (k *Keeper) mayPull(from, digest string) (*url.URL, []byte, error) {
	text, ok := strings.CutPrefix(digest, "sha256:")
	sum, err := hex.DecodeString(text)
	if !ok || err != nil || len(sum) != 32 {
		return nil, nil, &spec.Error{Code: spec.CodeInvalidRequest, Param: "digest", Message: "The digest must be sha256: and 64 hexadecimal digits.",
			Hint: "Take it from the model's publisher, or from sha256sum FILE."}
	}
	u, err := url.Parse(from)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil, nil, &spec.Error{Code: spec.CodeInvalidRequest, Param: "url", Message: "The URL must be an http or https URL, without a user and a fragment.", Hint: "Correct the URL."}
	}
	if !egress.Below(k.cfg.Options().Pulls, u) {
		return nil, nil, &spec.Error{Code: spec.CodeForbidden, Param: "url",
			Message: fmt.Sprintf("Node %s may not pull from %s: none of its models.pull-urls is a prefix of it.", k.cfg.Self, shown(u)),
			Hint:    "Have the node's operator add it to models.pull-urls, or download the file and use lotabots models import."}
	}
	return u, sum, nil
}

// shown is a URL without its query, which may hold a secret.
func shown(u *url.URL) string {
	plain := *u
	plain.RawQuery = ""
	return plain.String()
}

func (k *Keeper) transfer(p *pull) Transfer {
	t := Transfer{Node: string(k.cfg.Self), Model: p.name, Digest: hex.EncodeToString(p.digest), From: shown(p.url), Bytes: p.bytes, Total: p.total,
		Rate: rateOf(p.bytes-p.before, time.Since(p.began)), BeganMS: p.began.UnixMilli()}
	if p.err != nil {
		t.Error, t.Hint = said(p.err)
	}
	return t
}

// pulling are the pulls under way, and those that failed since the start.
func (k *Keeper) pulling() []Transfer {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []Transfer
	for _, p := range k.mu.pulls {
		if !p.ended || p.err != nil {
			out = append(out, k.transfer(p))
		}
	}
	return out
}

// stopPull ends a pull here; what came is kept for the next. It tells whether there was one.
func (k *Keeper) stopPull(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.mu.pulls[name]
	if p == nil || p.ended {
		return false
	}
	p.cancel()
	return true
}

// CancelPull ends a pull, whichever node does it.
func (k *Keeper) CancelPull(ctx context.Context, name string) error {
	found := make(chan bool, 1)
	note := func(was bool) {
		if was {
			select {
			case found <- true:
			default:
			}
		}
	}
	note(k.stopPull(name))
	k.each(ctx, func(ctx context.Context, id spec.NodeID) {
		was := false
		if k.ask(ctx, http.MethodDelete, id, "/pull/"+segment(name), reportTime, &was) == nil {
			note(was)
		}
	})
	select {
	case <-found:
		return nil
	default:
		return spec.Errorf(spec.CodeNotFound, "no model %q is being pulled", name)
	}
}

func (k *Keeper) runPull(ctx context.Context, p *pull) {
	m, err := k.bring(ctx, p)
	if p.hold != nil {
		defer p.hold()
	}
	if err == nil {
		err = k.cfg.Announce(ctx, m)
	}
	if ctx.Err() != nil {
		err = &spec.Error{Code: spec.CodeConflict, Message: "The pull was ended before the model was here.", Hint: "Pull it again: what came is kept for a while.", Err: err}
	}
	k.mu.Lock()
	p.ended, p.err = true, err
	if !k.mu.closed { // what the node's end has cut off goes on when it is back
		k.notePullsLocked()
	}
	k.mu.Unlock()
	if err != nil {
		k.cfg.Log.Warn("a model was not pulled", "model", p.name, "url", shown(p.url), "error", err)
		return
	}
	k.cfg.Log.Info("model pulled", "model", p.name, "url", shown(p.url), "bytes", m.GetSize(), "took", time.Since(p.began))
	k.Wake()
}

// bring has the file here, whole and verified.
func (k *Keeper) bring(ctx context.Context, p *pull) (*wire.Model, error) {
	for _, m := range k.cfg.View().Models {
		if bytes.Equal(m.GetDigest(), p.digest) && k.cfg.Store.Has(p.digest) {
			p.hold = k.Hold()
			m = proto.Clone(m).(*wire.Model)
			m.Name = p.name
			return m, nil
		}
	}
	if m, err := k.cameBefore(ctx, p); err != nil || m != nil {
		return m, err
	}
	in, err := k.cfg.Store.Intake(p.digest)
	if errors.Is(err, blobs.ErrBusy) {
		return nil, &spec.Error{Code: spec.CodeConflict, Message: "The same file is on its way here already.", Hint: "Wait for it, then pull again to give it this name.", Err: err}
	}
	if err != nil {
		return nil, err
	}
	defer in.Close()
	k.mu.Lock()
	p.bytes, p.before = in.Size(), in.Size()
	k.mu.Unlock()
	client := k.cfg.Options().Egress.Client(p.url, dialTime)
	defer client.CloseIdleConnections()
	for wait, failed := pullWait, 0; ; {
		before := in.Size()
		done, err := k.get(ctx, client, p, in)
		if done {
			p.hold = k.Hold()
			return in.Finish(p.name)
		}
		if failed++; in.Size() > before {
			failed, wait = 0, pullWait
		}
		refused := (*egress.Refused)(nil)
		if asSpec(err) != nil || errors.As(err, &refused) || ctx.Err() != nil || failed >= tries {
			return nil, told(err, p.url)
		}
		k.cfg.Log.Info("a pull goes on after a failure", "model", p.name, "at", in.Size(), "error", err)
		select {
		case <-time.After(wait):
			wait *= 2
		case <-ctx.Done():
		}
	}
}

// cameBefore is the record of a file that is here whole, and that the state does not know:
// the node went down before it did; nil: there is none.
func (k *Keeper) cameBefore(ctx context.Context, p *pull) (*wire.Model, error) {
	hold := k.Hold()
	m, err := k.cfg.Store.Record(ctx, p.name, p.digest)
	switch {
	case err == nil:
		p.hold = hold
		return m, nil
	case errors.Is(err, fs.ErrNotExist) || spec.CodeOf(err) == spec.CodeModelDamaged:
		err = nil
	}
	hold()
	return nil, err
}

// told makes an error of the network one that says what to do.
func told(err error, u *url.URL) error {
	if asSpec(err) != nil {
		return err
	}
	e := &spec.Error{Code: spec.CodeUpstream, Message: fmt.Sprintf("%s does not give the file: %v.", shown(u), err), Err: err, Hint: "See that the node reaches the server, and pull again: what came is kept."}
	if refused := (*egress.Refused)(nil); errors.As(err, &refused) {
		e.Code, e.Message = spec.CodeForbidden, fmt.Sprintf("%s leads where this node may not go: %v.", shown(u), refused)
		e.Hint = "Have the node's operator add the address's range to models.pull-ranges, or download the file and use lotabots models import."
	}
	return e
}

// get asks for what is missing, and tells whether that is all.
func (k *Keeper) get(ctx context.Context, client *http.Client, p *pull, in *blobs.Intake) (done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url.String(), nil)
	if err != nil {
		return false, err
	}
	if in.Size() > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", in.Size()))
	}
	stall := time.AfterFunc(stallTime, cancel)
	defer stall.Stop()
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	total, err := place(resp, in)
	if err != nil || total == in.Size() && total > 0 {
		return err == nil, err
	}
	if free := k.cfg.Store.Free(); free >= 0 && total-in.Size() > free {
		return false, &spec.Error{Code: spec.CodeInternal, Message: fmt.Sprintf("The model needs %d more bytes, and the disk of the model store has room for %d.", total-in.Size(), free),
			Hint: "Free some space on the node's disk: lotabots models gc --dry-run tells what may go."}
	}
	k.mu.Lock()
	p.total, p.bytes = total, in.Size()
	k.mu.Unlock()
	_, err = io.CopyBuffer(in, &arriving{k: k, p: p, ctx: ctx, r: resp.Body, stall: stall, left: maxPull - in.Size()}, make([]byte, 1<<20))
	if err == nil && total > 0 && in.Size() < total {
		err = io.ErrUnexpectedEOF
	}
	return err == nil, err
}

// place brings in to where the answer begins, and tells how large the file is; 0: unknown.
func place(resp *http.Response, in *blobs.Intake) (total int64, err error) {
	switch resp.StatusCode {
	case http.StatusOK:
		if in.Size() > 0 {
			err = in.Restart() // the server gives no parts
		}
		return max(0, resp.ContentLength), err
	case http.StatusPartialContent:
		var from, to int64
		if n, _ := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &total); n != 3 || from != in.Size() || total < from {
			return 0, errors.Join(fmt.Errorf("it answers for another range: %.100q", resp.Header.Get("Content-Range")), in.Restart())
		}
		return total, nil
	case http.StatusRequestedRangeNotSatisfiable:
		if n, _ := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes */%d", &total); n == 1 && total == in.Size() {
			return total, nil
		}
		return 0, errors.Join(errors.New("it has less than came before"), in.Restart())
	}
	err = fmt.Errorf("it answers %s", resp.Status)
	if s := resp.StatusCode; s >= 400 && s < 500 && s != http.StatusRequestTimeout && s != http.StatusTooManyRequests {
		err = &spec.Error{Code: spec.CodeUpstream, Message: fmt.Sprintf("The server of the URL answers %s.", resp.Status), Hint: "Correct the URL; files behind a login have to be downloaded and imported."}
	}
	return 0, err
}

// arriving is a body on its way in: counted, paced, and ended when nothing comes.
type arriving struct {
	k     *Keeper
	p     *pull
	ctx   context.Context
	r     io.Reader
	stall *time.Timer
	left  int64
}

func (a *arriving) Read(b []byte) (int, error) {
	if a.left <= 0 {
		return 0, spec.Errorf(spec.CodeBodyTooLarge, "The model is larger than %d bytes.", int64(maxPull))
	}
	n, err := a.r.Read(b[:min(int64(len(b)), a.left)])
	a.left -= int64(n)
	a.k.cfg.Metrics.In(blob.PeerURL, n)
	a.k.mu.Lock()
	a.p.bytes += int64(n)
	a.k.mu.Unlock()
	a.stall.Stop()
	if n > 0 {
		if paced := a.k.cfg.Pace.Wait(a.ctx, n); paced != nil {
			return 0, paced
		}
	}
	a.stall.Reset(stallTime)
	return n, err
}
