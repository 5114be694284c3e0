package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/reconcile"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node/config"
)

// An Option changes how a node is started.
type Option func(*Node)

// LoadedBy says how Reload reads the configuration again; else it reads the file
// in the data directory alone.
func LoadedBy(load func() (config.Config, error)) Option {
	return func(n *Node) { n.live.load = load }
}

// Environment gives the node the environment of its process (entries name=value),
// in which it warns of variables that look like its own and are none.
func Environment(environ []string) Option {
	return func(n *Node) {
		for _, p := range config.UnknownEnv(environ) {
			n.log.Warn("a variable of the environment is ignored", "variable", p.Key, "nearest", p.Nearest)
		}
	}
}

// live is the configuration that is in force, and the parts that follow it and
// are nobody's else.
type live struct {
	load    func() (config.Config, error)
	turn    sync.Mutex // one reload at a time
	running atomic.Pointer[config.Config]
	level   slog.LevelVar
	share   share
}

func (l *live) begin(c config.Config, at layout) {
	l.load = func() (config.Config, error) { return config.Load(config.Sources{File: at.configuration()}) }
	l.running.Store(&c)
	r := c.Reloadable()
	l.level.Set(r.LogLevel)
	l.share.set(r.Sample)
}

// Reloaded is what a reload has found.
type Reloaded struct {
	Taken   []config.Change `json:"taken"`   // in force now
	Restart []config.Change `json:"restart"` // in force after a restart
}

// Running is the configuration in force.
func (n *Node) Running() config.Config { return *n.live.running.Load() }

// Reload reads the configuration again and takes over what may change while the
// node runs. What else has changed is told, and waits for a restart. Where it is
// not valid nothing changes, and the error lists why.
func (n *Node) Reload() (Reloaded, error) {
	n.live.turn.Lock()
	defer n.live.turn.Unlock()
	next, err := n.live.load()
	if err != nil {
		n.log.Error("the configuration was not reloaded: nothing has changed", "error", err)
		return Reloaded{}, &spec.Error{
			Code: spec.CodeInvalidRequest, Message: fmt.Sprintf("node %s keeps its configuration: %v", n.id, err), Err: err,
			Hint: "Correct it and reload again; lotabots config check finds the same",
		}
	}
	now := n.Running()
	r := Reloaded{Taken: []config.Change{}, Restart: []config.Change{}}
	taken, restart := config.Changes(now, next)
	r.Taken, r.Restart = append(r.Taken, taken...), append(r.Restart, restart...)
	now = now.WithReloadable(next)
	n.tell(r)
	n.takeOver(now.Reloadable())
	n.live.running.Store(&now)
	return r, nil
}

// tell logs what a reload has found, whatever the level is and will be.
func (n *Node) tell(r Reloaded) {
	n.live.level.Set(min(n.live.level.Level(), slog.LevelInfo)) // takeOver sets the one that is wanted
	for _, c := range r.Taken {
		n.log.Info("configuration changed", "key", c.Key, "from", c.From, "to", c.To)
	}
	for _, c := range r.Restart {
		n.log.Warn("a change of the configuration needs a restart", "key", c.Key, "from", c.From, "to", c.To)
	}
	n.log.Info("configuration reloaded", "changed", len(r.Taken), "need_restart", len(r.Restart))
}

// takeOver brings the reloadable part to those who go by it.
func (n *Node) takeOver(r config.Reloadable) {
	n.live.level.Set(r.LogLevel)
	n.live.share.set(r.Sample)
	if g := n.routing.Load(); g != nil {
		g.SetPatience(gateway.Patience{Queue: r.QueueTimeout, Load: r.LoadTimeout, FirstByte: r.FirstToken, Between: r.NextToken})
	}
	n.pace.Set(int64(r.FetchRate))
	if k := n.certificate.Load(); k != nil {
		_ = k.Reload() // it has been logged, and the one before stays in force
	}
	if a := n.workers.Load(); a != nil {
		a.AllowExternal(r.ExternalURL)
	}
	if n.loop != nil {
		n.loop.SetGraces(reconcile.Graces{Dead: r.DeadGrace, Drain: r.DrainGrace, Settle: r.SettleTime})
	}
	// The time to shut down in is read when it is needed, and the consent to
	// chaos is read from the file by those who inject faults.
}

// serveReload answers on the ops socket and, for members, on the cluster port.
func (n *Node) serveReload(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	r, err := n.Reload()
	if err != nil {
		var e *spec.Error
		errors.As(err, &e)
		w.WriteHeader(e.Code.Lookup().Status)
		_ = json.NewEncoder(w).Encode(refusal{e.Code, e.Message, e.Hint})
		return
	}
	_ = json.NewEncoder(w).Encode(r)
}

// refusal is a reload's error on its way to who asked.
type refusal struct {
	Code    spec.Code `json:"code"`
	Message string    `json:"message"`
	Hint    string    `json:"hint"`
}

// AskReload has the node that runs in the data directory reload, by its ops socket.
func AskReload(ctx context.Context, dir string) (Reloaded, error) {
	path := filepath.Join(dir, opsSocket)
	if _, err := os.Stat(path); err != nil {
		return Reloaded{}, fmt.Errorf("no node runs in %s: %w", dir, err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, path) }}
	defer transport.CloseIdleConnections()
	return askReload(ctx, &http.Client{Transport: transport}, "ops")
}

func askReload(ctx context.Context, client *http.Client, host string) (Reloaded, error) {
	const most = 1 << 20
	var r Reloaded
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/reload", nil)
	if err != nil {
		return r, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return r, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, most))
	if err != nil {
		return r, err
	}
	if answer.StatusCode == http.StatusOK {
		return r, json.Unmarshal(raw, &r)
	}
	var why refusal
	if json.Unmarshal(raw, &why) != nil || why.Code == "" {
		return r, fmt.Errorf("HTTP %d: %.200s", answer.StatusCode, strings.TrimSpace(string(raw)))
	}
	return r, &spec.Error{Code: why.Code, Message: why.Message, Hint: why.Hint}
}

// Reload has a node reload, be it this one or another.
func (o operations) Reload(ctx context.Context, id spec.NodeID) (*gateway.Reloaded, error) {
	var r Reloaded
	var err error
	if id == o.n.id {
		r, err = o.n.Reload()
	} else {
		r, err = askReload(ctx, o.n.port.Client("state"), string(id))
	}
	var told *spec.Error
	switch {
	case errors.As(err, &told):
		return nil, err
	case err != nil:
		return nil, &spec.Error{Code: spec.CodeNotFound, Message: fmt.Sprintf("Node %s does not answer.", id), Hint: "lotabots status tells whether it is alive", Err: err}
	}
	return &gateway.Reloaded{Taken: changed(r.Taken), Restart: changed(r.Restart)}, nil
}

func changed(list []config.Change) []gateway.ConfigChange {
	out := make([]gateway.ConfigChange, len(list))
	for i, c := range list {
		out[i] = gateway.ConfigChange(c)
	}
	return out
}
