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

// loaded has what load has read, by its text: reading it takes a second. No test changes it, and none
// runs beside another.
var loaded = map[string]*openapi3.T{}

func load(t *testing.T, raw []byte) *openapi3.T {
	t.Helper()
	if doc := loaded[string(raw)]; doc != nil {
		return doc
	}
	l := openapi3.NewLoader()
	doc, err := l.LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(l.Context); err != nil {
		t.Fatal(err)
	}
	loaded[string(raw)] = doc
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

// Statuses of errors, by what makes them possible.
var (
	// ofAll may meet any request, whatever it is for: it cannot be read, or not in time, its head or body is too
	// large, its client takes no coding of answers, the gateway fails, drains or is full.
	ofAll = []int{400, 406, 408, 413, 431, 500, 503}
	// ofKeys may meet whoever has to show a key: it is none, it may not do this, or too many were tried.
	ofKeys = []int{401, 403, 429}
	// ofEngines are those of a model and its engine, and of clients who hang up before there is an answer.
	ofEngines = []int{404, 499, 502, 504}
)

// ofSome are those of single operations beside what their kind has.
var ofSome = map[string][]int{
	"countTokens": {404, 499, 504}, "countResponseTokens": {404, 499, 504}, // what an engine cannot count is estimated
	"showResponse": {404}, "removeResponse": {404},
	"login": {401, 404, 409, 429}, "exchange": {401, 404, 409, 429}, "refresh": {401, 409, 429}, "logout": {409}, // each writes a session
	"beginSSO": {401, 404}, "finishSSO": {401, 404, 409, 429},
	"canI":       {404},                          // its subject
	"showLimits": {404}, "showLimitsHead": {404}, // the key or deployment
	"createKey": {404}, "createUser": {404}, "createBinding": {404}, // the tenant, or the user that it is for
	"verifyAudit": {504}, "verifyAuditHead": {504},
}

// unwritten are operations of the admin API that write nothing into the state, though they are no reads.
var unwritten = []string{"plan", "verifyModel", "collectStorage", "cancelPull", "reloadNode"}

// statusesOf are the statuses of errors that an operation may be answered with.
func statusesOf(method, path string, op *openapi3.Operation) []int {
	all := slices.Clone(ofAll)
	if open := op.Security != nil && len(*op.Security) == 0; !open {
		all = append(all, ofKeys...)
	}
	if strings.Contains(path, "{") {
		all = append(all, 404)
	}
	if op.RequestBody != nil {
		all = append(all, 415)
	}
	if some, ok := ofSome[op.OperationID]; ok {
		all = append(all, some...)
	} else if op.Extensions["x-verb"] == "infer" {
		all = append(all, ofEngines...)
	}
	write := method != http.MethodGet && method != http.MethodHead
	if write && strings.HasPrefix(path, "/admin/") && !slices.Contains(unwritten, op.OperationID) {
		all = append(all, 409)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestOperationsNameTheirErrors: each has exactly the statuses that its kind may be answered with, and no default
// that would let others pass.
func TestOperationsNameTheirErrors(t *testing.T) {
	for path, item := range load(t, YAML()).Paths.Map() {
		for method, op := range item.Operations() {
			var told []int
			for status := range op.Responses.Map() {
				if n, err := strconv.Atoi(status); err != nil {
					t.Errorf("%s %s has an answer of status %s", method, path, status)
				} else if n >= 400 {
					told = append(told, n)
				}
			}
			slices.Sort(told)
			if want := statusesOf(method, path, op); !slices.Equal(told, want) {
				t.Errorf("%s %s has the errors %v, want %v", method, path, told, want)
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
