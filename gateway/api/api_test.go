package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/lotabots/lotabots/cluster/spec"
)

func load(t *testing.T, raw []byte) *openapi3.T {
	t.Helper()
	l := openapi3.NewLoader()
	doc, err := l.LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(l.Context); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestTheDescriptionIsValidInBothForms(t *testing.T) {
	fromYAML, fromJSON := load(t, YAML()), load(t, JSON())
	a, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(fromJSON)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Error("the JSON says other things than the YAML")
	}
}

var parameter = regexp.MustCompile(`\{([a-z]+)\}`)

func TestEveryOperationSaysWhatItTakesAndGives(t *testing.T) {
	ids := map[string]string{}
	for path, item := range load(t, YAML()).Paths.Map() {
		for method, op := range item.Operations() {
			at := method + " " + path
			if op.OperationID == "" || ids[op.OperationID] != "" {
				t.Errorf("%s: operationId %q is empty, or that of %s", at, op.OperationID, ids[op.OperationID])
			}
			ids[op.OperationID] = at
			if op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s has no summary, or not one tag", at)
			}
			if op.RequestBody != nil && !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, method) {
				t.Errorf("%s takes a body", at)
			}
			good := false
			for status, r := range op.Responses.Map() {
				good = good || strings.HasPrefix(status, "2") || status == "302"
				if r.Value.Description == nil || *r.Value.Description == "" {
					t.Errorf("%s: %s is not described", at, status)
				}
			}
			if never, _ := op.Extensions["x-never"].(bool); good == never { // there only to say that it is not there
				t.Errorf("%s: succeeds %v, x-never %v", at, good, never)
			}
			for _, name := range parameter.FindAllStringSubmatch(path, -1) {
				if op.Parameters.GetByInAndName("path", name[1]) == nil && item.Parameters.GetByInAndName("path", name[1]) == nil {
					t.Errorf("%s: {%s} is not described", at, name[1])
				}
			}
		}
	}
	if len(ids) < 90 {
		t.Errorf("%d operations are described", len(ids))
	}
}

// TestOnlyWhatIsOpenNeedsNoKey: an operation is open only if it says so.
func TestOnlyWhatIsOpenNeedsNoKey(t *testing.T) {
	doc := load(t, YAML())
	if len(doc.Security) == 0 {
		t.Error("nothing needs a key")
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			without := op.Security != nil && len(*op.Security) == 0
			if without && (op.Extensions["x-verb"] != nil || strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/admin/")) {
				t.Errorf("%s %s needs no key", method, path)
			}
			if !without && slices.Contains([]string{"/healthz", "/readyz", "/openapi.json"}, path) {
				t.Errorf("%s %s needs a key", method, path)
			}
		}
	}
}

// TestOperationsNameTheirErrors: what can go wrong has a status of its own, and default is for the rest.
func TestOperationsNameTheirErrors(t *testing.T) {
	for path, item := range load(t, YAML()).Paths.Map() {
		for method, op := range item.Operations() {
			want := []string{"500", "503", "default"}
			if open := op.Security != nil && len(*op.Security) == 0; !open {
				want = append(want, "401", "403", "429")
			}
			if op.RequestBody != nil {
				want = append(want, "400", "408", "413", "415")
			}
			if strings.Contains(path, "{") {
				want = append(want, "404")
			}
			for _, status := range want {
				if op.Responses.Value(status) == nil {
					t.Errorf("%s %s does not name %s", method, path, status)
				}
			}
		}
	}
}

// TestExamplesOfErrors are of codes that have the status that they stand for, and tell what the catalogue has one do.
func TestExamplesOfErrors(t *testing.T) {
	doc, seen := load(t, YAML()), 0
	for name, r := range doc.Components.Responses {
		media := r.Value.Content["application/json"]
		if media == nil || media.Example == nil {
			continue
		}
		told := media.Example.(map[string]any)
		if inner, ok := told["error"].(map[string]any); ok {
			told = inner
		}
		code, _ := told["code"].(string)
		class, known := spec.Catalogue[spec.Code(code)]
		hint, _ := told["hint"].(string)
		if !known || told["doc_url"] != "/docs#error-"+code || hint == "" {
			t.Errorf("%s: %v", name, told)
		}
		for path, item := range doc.Paths.Map() {
			for method, op := range item.Operations() {
				for status, of := range op.Responses.Map() {
					if of.Ref == "#/components/responses/"+name && status != strconv.Itoa(class.Status) {
						t.Errorf("%s %s: %s is told by %s, of which an example has %d", method, path, status, name, class.Status)
					}
				}
			}
		}
		seen++
	}
	if seen < 30 {
		t.Errorf("%d errors have an example", seen)
	}
}
