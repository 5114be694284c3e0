package gateway

// Reloaded is what a node's reload of its configuration has found.
type Reloaded struct {
	Taken   []ConfigChange `json:"taken"`   // in force now
	Restart []ConfigChange `json:"restart"` // in force after a restart
}

// A ConfigChange is one key whose value has changed.
type ConfigChange struct {
	Key  string `json:"key"`
	From string `json:"from"`
	To   string `json:"to"`
}

func reloadNode(r *request) error {
	id, err := r.knownNode()
	if err != nil {
		return err
	}
	if r.g.cfg.Cluster == nil {
		return r.elsewhere("have nodes reload")
	}
	ctx, cancel := r.operate()
	defer cancel()
	out, err := r.g.cfg.Cluster.Reload(ctx, id)
	if err != nil {
		return err
	}
	r.did("nodes.reload", "node:"+string(id))
	return r.json(200, Reloaded{Taken: full(out.Taken), Restart: full(out.Restart)})
}
