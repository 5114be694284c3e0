package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/lotabots/lotabots/cluster/spec"
)

//go:embed docs.html.tmpl
var page string

//go:embed docs.css
var style string

//go:embed docs.js
var script string

// DocsPolicy is the Content-Security-Policy of the page: its own style and script, and
// nothing from anywhere else.
var DocsPolicy = sync.OnceValue(func() string {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; style-src " + hash(style) + "; script-src " + hash(script) + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
})

// Docs is the description as a page for people. It must not be changed.
var Docs = sync.OnceValue(func() []byte {
	doc := described()
	var out bytes.Buffer
	err := template.Must(template.New("docs").Funcs(template.FuncMap{"paragraphs": paragraphs}).Parse(page)).Execute(&out, map[string]any{
		"Doc": doc, "Groups": doc.groups(), "Errors": catalogue(), "Schemas": doc.schemas(),
		"Failure": doc.Components.Responses["BadRequest"].Example(),
		"Style":   template.CSS(style), "Script": template.JS(script),
	})
	if err != nil {
		panic("docs.html.tmpl: " + err.Error())
	}
	return out.Bytes()
})

// The parts of the description that the page tells.
type (
	description struct {
		Info  struct{ Title, Description string }
		Tags  []struct{ Name string }
		Paths map[string]struct {
			Parameters                    []argument
			Get, Put, Post, Patch, Delete *operation
		}
		Components struct {
			Parameters map[string]argument
			Responses  map[string]response
			Schemas    map[string]schema
		}
	}
	operation struct {
		OperationID          string
		Summary, Description string
		Verb                 string `json:"x-verb"`
		Tags                 []string
		Parameters           []argument
		RequestBody          *response
		Responses            map[string]response
		Security             *[]any

		Method, Path string
	}
	argument struct {
		Ref                   string `json:"$ref"`
		Name, In, Description string
		Required              bool
		Schema                schema
	}
	response struct {
		Ref         string `json:"$ref"`
		Description string
		Content     map[string]content
	}
	content struct {
		Schema  schema
		Example json.RawMessage
	}
	schema struct {
		Ref         string `json:"$ref"`
		Type        string
		Description string
		Format      string
		Enum        []any
		Required    []string
		Properties  map[string]schema
		Items       *schema
		OneOf       []schema
	}
	group struct {
		Name       string
		Operations []operation
	}
	named struct {
		Name string
		schema
	}
	coded struct {
		Code spec.Code
		spec.Class
	}
)

// described is the description, read.
var described = sync.OnceValue(func() *description {
	var doc description
	if err := json.Unmarshal(JSON(), &doc); err != nil {
		panic("openapi.yaml: " + err.Error()) // a test reads it
	}
	return &doc
})

func (d *description) groups() []group {
	by := map[string][]operation{}
	for path, item := range d.Paths {
		for method, op := range map[string]*operation{"GET": item.Get, "PUT": item.Put, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete} {
			if op == nil {
				continue
			}
			o := *op
			o.Method, o.Path = method, path
			o.Parameters = d.resolved(slices.Concat(item.Parameters, op.Parameters))
			o.Responses = map[string]response{}
			for status, r := range op.Responses {
				if r.Ref != "" {
					r = d.Components.Responses[last(r.Ref)]
				}
				o.Responses[status] = r
			}
			by[o.Tags[0]] = append(by[o.Tags[0]], o)
		}
	}
	var out []group
	for _, tag := range d.Tags {
		ops := by[tag.Name]
		slices.SortFunc(ops, func(a, b operation) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method)) })
		out = append(out, group{tag.Name, ops})
	}
	return out
}

func (d *description) resolved(all []argument) (out []argument) {
	for _, p := range all {
		if p.Ref != "" {
			p = d.Components.Parameters[last(p.Ref)]
		}
		out = append(out, p)
	}
	return out
}

func (d *description) schemas() (out []named) {
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		out = append(out, named{name, d.Components.Schemas[name]})
	}
	return out
}

// Open tells whether the operation takes no key.
func (o operation) Open() bool { return o.Security != nil && len(*o.Security) == 0 }

// Points to the schema by name; empty: it has none.
func (s schema) Points() string { return last(s.Ref) }

// Needs tells whether the property must be there.
func (s schema) Needs(name string) bool { return slices.Contains(s.Required, name) }

// Kind is the type in words.
func (s schema) Kind() string {
	switch {
	case s.Ref != "":
		return s.Points()
	case s.Items != nil:
		return "array of " + cmp.Or(s.Items.Kind(), "anything")
	case len(s.OneOf) > 0:
		kinds := make([]string, len(s.OneOf))
		for i, one := range s.OneOf {
			kinds[i] = one.Kind()
		}
		return strings.Join(kinds, " or ")
	}
	return strings.TrimSpace(s.Type + " " + s.Format)
}

func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// paragraphs are those of a text, in which backquotes mark code.
func paragraphs(text string) (out []template.HTML) {
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		var b strings.Builder
		for i, part := range strings.Split(p, "`") {
			if i%2 == 1 {
				b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
			} else {
				b.WriteString(template.HTMLEscapeString(part))
			}
		}
		out = append(out, template.HTML(b.String())) //nolint:gosec // each part is escaped
	}
	return out
}

// catalogue is every error's class, by its code.
func catalogue() (out []coded) {
	for _, code := range slices.Sorted(maps.Keys(spec.Catalogue)) {
		out = append(out, coded{code, code.Lookup()})
	}
	return out
}
