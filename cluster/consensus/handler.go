package consensus

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Handler serves POST /propose and GET /read-index, where this node leads, and
// GET /leader on every server. The peer must have been authenticated.
func (c *Consensus) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /propose", c.servePropose)
	mux.HandleFunc("GET /read-index", c.serveReadIndex)
	mux.HandleFunc("GET /leader", c.serveLeader)
	return mux
}

func (c *Consensus) servePropose(w http.ResponseWriter, r *http.Request) {
	if !c.leads(w) {
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
	if err != nil {
		w.Header().Set(hdrNothing, "1")
		http.Error(w, "the command did not come whole", http.StatusBadRequest)
		return
	}
	cmd, e := decodeProposal(raw)
	if e != nil {
		refuse(w, e)
		return
	}
	if c.cfg.Authorise != nil {
		if err := c.cfg.Authorise(r, cmd); err != nil {
			refuse(w, &spec.Error{Code: spec.CodeForbidden, Message: err.Error(), Err: err})
			return
		}
	}
	// An asker that leaves does not take back what it asked.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), insistence)
	defer cancel()
	result, err := c.apply(ctx, cmd, raw)
	if err != nil {
		c.fail(w, err)
		return
	}
	b, err := proto.Marshal(result)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(b)
}

// decodeProposal reads a command that another node has stamped.
func decodeProposal(raw []byte) (*wire.Command, *spec.Error) {
	cmd := &wire.Command{}
	if err := proto.Unmarshal(raw, cmd); err != nil {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Message: "the command is damaged", Err: err}
	}
	if cmd.GetRequestId() == "" || cmd.GetAtMs() == 0 || cmd.GetLevel() == 0 {
		return nil, spec.Errorf(spec.CodeInvalidRequest, "the command lacks request_id, at_ms or level")
	}
	return cmd, nil
}

func (c *Consensus) serveReadIndex(w http.ResponseWriter, r *http.Request) {
	if !c.leads(w) {
		return
	}
	index, err := c.confirmedIndex(r.Context())
	if err != nil {
		c.fail(w, err)
		return
	}
	_, _ = io.WriteString(w, strconv.FormatUint(index, 10))
}

func (c *Consensus) serveLeader(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(c.standing())
}

// standing is what this node says of the group.
func (c *Consensus) standing() standing {
	s := standing{Term: c.Term()}
	s.Leader, _ = c.Leader()
	for _, server := range c.servers() {
		s.Servers = append(s.Servers, spec.NodeID(server.ID))
		if voter(server) {
			s.Voters = append(s.Voters, spec.NodeID(server.ID))
		}
	}
	return s
}

// leads answers for the leader where this node is not it.
func (c *Consensus) leads(w http.ResponseWriter) bool {
	if c.IsLeader() {
		return true
	}
	c.misdirected(w)
	return false
}

func (c *Consensus) misdirected(w http.ResponseWriter) {
	if leader, ok := c.Leader(); ok && leader != c.cfg.ID {
		w.Header().Set(hdrLeader, string(leader))
	}
	http.Error(w, "this node does not lead", http.StatusMisdirectedRequest)
}

// fail answers with what an attempt ended with.
func (c *Consensus) fail(w http.ResponseWriter, err error) {
	var public *spec.Error
	switch {
	case errors.Is(err, errFinal) && errors.As(err, &public):
		refuse(w, public)
	case errors.Is(err, errMaybe):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case !c.IsLeader():
		c.misdirected(w)
	default:
		w.Header().Set(hdrNothing, "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

func refuse(w http.ResponseWriter, e *spec.Error) {
	w.Header().Set(hdrCode, string(e.Code))
	http.Error(w, e.Message, e.Code.Lookup().Status)
}
