package gateway

import (
	"sort"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// anthropicModel is a deployment, or one of its adapters, as Anthropic's API lists it.
type anthropicModel struct {
	ID          string `json:"id"`
	Type        string `json:"type"`
	DisplayName string `json:"display_name"`
	CreatedAt   string `json:"created_at"`
	Lifecycle   string `json:"lifecycle"`
	Context     int    `json:"max_input_tokens,omitempty"` // absent: not known
}

func (g *Gateway) anthropicModel(d *deployment) anthropicModel {
	_, context := g.table.Abilities(d.GetName(), d.alone())
	return anthropicModel{ID: d.model(), Type: "model", DisplayName: d.model(), Lifecycle: "active", Context: context,
		CreatedAt: time.UnixMilli(d.GetCreatedMs()).UTC().Format(time.RFC3339)}
}

// Bounds of Anthropic's pages of models.
const (
	usualModels = 20
	mostModels  = 1000
)

// listForAnthropic lists a page of the models that the caller may use: behind after_id,
// or the last ones before before_id.
func (r *request) listForAnthropic() error {
	limit, err := r.number("limit", usualModels, mostModels)
	if err != nil {
		return err
	}
	page, more := r.modelsPage(limit)
	out := struct {
		Data    []anthropicModel `json:"data"`
		HasMore bool             `json:"has_more"`
		FirstID *string          `json:"first_id"`
		LastID  *string          `json:"last_id"`
	}{Data: []anthropicModel{}, HasMore: more}
	for _, d := range page {
		out.Data = append(out.Data, r.g.anthropicModel(d))
	}
	if n := len(out.Data); n > 0 {
		out.FirstID, out.LastID = &out.Data[0].ID, &out.Data[n-1].ID
	}
	return r.json(200, out)
}

// modelsPage is a page of the models, which are listed by their names, and whether
// there are more of them in its direction.
func (r *request) modelsPage(limit int) (page []*deployment, more bool) {
	all, args := r.g.catalog.visible(r.who), r.ctx.QueryArgs()
	if before := args.Peek("before_id"); len(before) > 0 {
		end := sort.Search(len(all), func(i int) bool { return all[i].model() >= string(before) })
		first := max(0, end-limit)
		return all[first:end], first > 0
	}
	if after := args.Peek("after_id"); len(after) > 0 {
		all = all[sort.Search(len(all), func(i int) bool { return all[i].model() > string(after) }):]
	}
	n := min(limit, len(all))
	return all[:n], n < len(all)
}

// noResponse answers who asks for a response that would have to be stored.
func noResponse(r *request) error {
	return &spec.Error{Code: spec.CodeNotFound, Param: "id", Message: "There is no response " + strconv.Quote(clip(r.param("id"), 100)) + ": none are stored.",
		Hint: "Keep the answer of POST /v1/responses, and send the conversation so far in input."}
}
