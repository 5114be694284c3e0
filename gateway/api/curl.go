package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// inferences are the groups of operations that applications use.
var inferences = []string{"inference", "kserve"}

// Examples is a page with a request by curl, and its answer, for every operation that
// applications use.
func Examples() []byte {
	var out bytes.Buffer
	out.WriteString("# The API by examples\n\nMade from [the description](../../gateway/api/openapi.yaml) by `go test ./gateway/api -update`; a node shows the same at `/docs`, " +
		"with all fields and errors. `URL` is a node's address, such as `http://127.0.0.1:8080`, and `KEY` a key of `lotabots keys create`. " +
		"The name in `model` is that of a deployment.\n")
	for _, g := range described().groups() {
		if !slices.Contains(inferences, g.Name) {
			continue
		}
		for _, o := range g.Operations {
			if !o.succeeds() {
				continue
			}
			out.WriteString("\n## " + o.Method + " " + o.Path + "\n\n" + o.Summary + ".\n\n```sh\n" + o.Curl() + "\n```\n")
			if answer := o.Answer(); answer != "" {
				out.WriteString("\n```json\n" + answer + "\n```\n")
			}
		}
	}
	return out.Bytes()
}

func (o operation) succeeds() bool {
	for status := range o.Responses {
		if strings.HasPrefix(status, "2") {
			return true
		}
	}
	return false
}

// Curl is a request for the operation, by curl in a shell.
func (o operation) Curl() string {
	path := strings.NewReplacer("{model}", "MODEL", "{version}", "1", "{id}", "ID", "{name}", "NAME").Replace(o.Path)
	var b strings.Builder
	b.WriteString("curl ")
	if o.Method != "GET" && o.Method != "POST" || o.Method == "POST" && o.RequestBody == nil {
		b.WriteString("-X " + o.Method + " ")
	}
	b.WriteString(`"$URL` + path + `"`)
	if !o.Open() {
		b.WriteString(` -H "Authorization: Bearer $KEY"`)
	}
	if o.RequestBody == nil {
		return b.String()
	}
	for kind, c := range sorted(o.RequestBody.Content) {
		switch {
		case kind == "multipart/form-data":
			b.WriteString(" \\\n  -F model=MODEL -F file=@recording.wav")
			return b.String()
		case kind != "application/json":
			b.WriteString(" \\\n  -H \"Content-Type: application/octet-stream\" --data-binary @FILE")
			return b.String()
		case len(c.Example) > 0:
			b.WriteString(" -H \"Content-Type: application/json\" \\\n  -d '" + strings.ReplaceAll(flat(c.Example), "'", `'\''`) + "'")
			return b.String()
		}
	}
	return b.String()
}

// Answer is an example of one that succeeds; empty: there is none.
func (o operation) Answer() string {
	for status, r := range sorted(o.Responses) {
		if strings.HasPrefix(status, "2") {
			return r.Example()
		}
	}
	return ""
}

// Example is one of the JSON that it has; empty: there is none.
func (r response) Example() string { return flat(r.Content["application/json"].Example) }

// flat is JSON in one line, with spaces as people write it.
func flat(raw json.RawMessage) string {
	var b strings.Builder
	text := false
	for i, c := range raw {
		b.WriteByte(c)
		switch {
		case c == '"' && (i == 0 || raw[i-1] != '\\'):
			text = !text
		case !text && (c == ',' || c == ':'):
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// sorted goes through a map by its keys.
func sorted[V any](m map[string]V) func(func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
