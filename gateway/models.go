package gateway

import (
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
)

// model is a deployment, or one of its adapters, as OpenAI's API lists it.
type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
	Parent  string `json:"parent,omitempty"` // of an adapter: the deployment

	Capabilities []string `json:"capabilities,omitempty"`  // absent: not known
	Context      int      `json:"max_model_len,omitempty"` // tokens of one request, as vLLM calls it
}

func (g *Gateway) modelOf(d *deployment) model {
	owner := d.GetTenant()
	if owner == "" {
		owner = "lotabots"
	}
	m := model{ID: d.model(), Object: "model", Created: d.GetCreatedMs() / 1000, OwnedBy: owner}
	if d.adapter != "" {
		m.Parent = d.GetName()
	}
	able, context := g.table.Abilities(d.GetName(), d.alone())
	m.Context = context
	if can := able.Can &^ (spec.AbleContinue | spec.AbleSleep | spec.AbleAdapters | spec.AbleCount | spec.AbleUsage | spec.AbleTokens | spec.AbleRanks); can != 0 { // these are the cluster's business
		m.Capabilities = can.Names()
	}
	return m
}

func listVisible(r *request) error {
	if r.head.tells == anthropicErrors {
		return r.listForAnthropic()
	}
	out := struct {
		Object string  `json:"object"`
		Data   []model `json:"data"`
	}{Object: "list", Data: []model{}}
	for _, d := range r.g.catalog.visible(r.who) {
		out.Data = append(out.Data, r.g.modelOf(d))
	}
	return r.json(200, out)
}

func showVisible(r *request) error {
	id := r.param("id")
	d, err := r.listed([]byte(id))
	if err != nil {
		return err
	}
	if !r.who.Lists(d.model(), d.GetTenant()) {
		return forbidden(d)
	}
	if r.head.tells == anthropicErrors {
		return r.json(200, r.g.anthropicModel(d))
	}
	return r.json(200, r.g.modelOf(d))
}

// json answers with v, and the index of the state that it was made from.
func (r *request) json(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r.ctx.SetStatusCode(status)
	r.ctx.Response.Header.SetContentType("application/json")
	r.ctx.Response.SetBodyRaw(append(b, '\n'))
	return nil
}

// param is a part of the path, which the router takes as it was sent.
func (r *request) param(name string) string {
	s, _ := r.ctx.UserValue(name).(string)
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// number reads a query argument.
func (r *request) number(name string, usual, most int) (int, error) {
	arg := string(r.ctx.QueryArgs().Peek(name))
	if arg == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(arg)
	if err != nil || n < 1 || n > most {
		return 0, &spec.Error{Code: spec.CodeInvalidRequest, Param: name, Message: name + " must be a number from 1 to " + strconv.Itoa(most) + "."}
	}
	return n, nil
}
