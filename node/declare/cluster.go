package declare

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/config"
)

// An API calls a cluster's API, as a client.Client does.
type API interface {
	Do(ctx context.Context, method, path string, in, out any) error
}

// Read returns every document of the cluster, in the order of Sort. local reads
// the asked node's copy of the state, which may lag; else it is the newest.
func Read(ctx context.Context, api API, local bool) ([]Document, error) {
	var out []Document
	for _, kind := range Kinds() {
		err := pages(ctx, api, kind.path, local, func(item map[string]json.RawMessage) error {
			d, err := fromAPI(kind, item)
			out = append(out, d)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return Sort(out), nil
}

// pages calls fn for each item of a list.
func pages(ctx context.Context, api API, path string, local bool, fn func(map[string]json.RawMessage) error) error {
	for cursor := ""; ; {
		query := url.Values{"limit": {"1000"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		if !local {
			query.Set("consistency", "linearizable")
		}
		var page struct {
			Data []map[string]json.RawMessage `json:"data"`
			Next string                       `json:"next_cursor"`
		}
		if err := api.Do(ctx, "GET", path+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for _, item := range page.Data {
			if err := fn(item); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		cursor = page.Next
	}
}

func fromAPI(kind Kind, item map[string]json.RawMessage) (Document, error) {
	name := ""
	if err := json.Unmarshal(item[kind.ID], &name); err != nil {
		return Document{}, fmt.Errorf("a %s of the cluster has no %s: %w", kind.Name, kind.ID, err)
	}
	d := kind.blank(name)
	for _, f := range kind.Fields {
		raw, ok := item[f.Name]
		if !ok {
			continue
		}
		into := zero(f.Default)
		if err := json.Unmarshal(raw, into.Interface()); err != nil {
			return d, fmt.Errorf("%s of the cluster: %s: %w", d.Title(), f.Name, err)
		}
		d.Fields[f.Name] = settled(into.Elem().Interface())
	}
	return d, nil
}

// Verify finds what the plan names and the cluster lacks, before anything is
// written: models, and tenants that no document declares.
func Verify(ctx context.Context, api API, p Plan, have, want []Document) error {
	var models, tenants []string
	err := pages(ctx, api, "/admin/v1/models", false, func(item map[string]json.RawMessage) error {
		name := ""
		err := json.Unmarshal(item["name"], &name)
		models = append(models, name)
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range slices.Concat(have, want) {
		if d.Kind == "tenant" {
			tenants = append(tenants, d.Name)
		}
	}
	var problems Problems
	for _, c := range p.Changes {
		if c.Kind != "deployment" || c.Action == Remove {
			continue
		}
		if m := text(c.want, "model"); m != "" && !slices.Contains(models, m) {
			problems = append(problems, Problem{Document: c.want.Title(), Field: "model", Reason: fmt.Sprintf("is %q, which is not imported", m), Nearest: config.Nearest(m, models)})
		}
		if t := text(c.want, "tenant"); t != "" && !slices.Contains(tenants, t) {
			problems = append(problems, Problem{Document: c.want.Title(), Field: "tenant", Reason: fmt.Sprintf("is %q, and there is no such tenant", t), Nearest: config.Nearest(t, tenants)})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// Write makes the changes in their order, and tells each that is made. It stops
// at the first that fails; the whole may be repeated.
func Write(ctx context.Context, api API, p Plan, made func(Change)) error {
	for i, c := range p.Changes {
		kind, _ := kindOf(c.Kind)
		path := kind.path + "/" + strings.ReplaceAll(url.PathEscape(c.Name), "%2F", "/") // of settings
		var err error
		if c.Action == Remove {
			err = api.Do(ctx, "DELETE", path, nil, nil)
		} else {
			if p.Force && c.Kind == "deployment" {
				path += "?force=true"
			}
			err = api.Do(ctx, "PUT", path, told(c.want), nil)
		}
		if err != nil {
			return fmt.Errorf("%d of %d changes are made; %s %s %s was not: %w", i, len(p.Changes), c.Action, c.Kind, c.Name, err)
		}
		made(c)
	}
	return nil
}

// told is what is written of a document: a scale that is not there is not spoken of to
// nodes of older builds, which do not know the word.
func told(d Document) map[string]any {
	if s, is := d.Fields["scale"].(*spec.Scale); !is || s != nil {
		return d.Fields
	}
	out := maps.Clone(d.Fields)
	delete(out, "scale")
	return out
}
