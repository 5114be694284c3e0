package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestDocsTellAll: every operation, schema and error is on the page, links lead
// somewhere, and nothing comes from elsewhere.
func TestDocsTellAll(t *testing.T) {
	page := string(Docs())
	doc := load(t, YAML())
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if method != "HEAD" && !strings.Contains(page, `<details id="`+op.OperationID+`"`) {
				t.Errorf("%s %s is not told", method, path)
			}
		}
	}
	if n := strings.Count(page, "<pre>curl "); n < 90 {
		t.Errorf("%d operations have an example", n)
	}
	for code := range spec.Catalogue {
		if !strings.Contains(page, `id="error-`+string(code)+`"`) {
			t.Errorf("%s is not told", code)
		}
	}
	for _, m := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `id="`+m[1]+`"`) {
			t.Errorf("#%s leads nowhere", m[1])
		}
	}
	if out := regexp.MustCompile(`(src|href)="(https?:)?//`).FindString(page); out != "" || strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "style=\"") {
		t.Errorf("the page has %q, or what its policy forbids", out)
	}
	if !strings.Contains(page, style) || !strings.Contains(page, script) {
		t.Error("the style or the script is not as its hash has it")
	}
	if p := DocsPolicy(); strings.Contains(p, "unsafe") || !strings.HasPrefix(p, "default-src 'none'; style-src 'sha256-") {
		t.Errorf("policy %s", p)
	}
}

var update = flag.Bool("update", false, "write node/docs/API.md anew")

// TestExamples: the page of examples is as the description has it, every operation that applications use has one, and what
// takes JSON shows a body that is JSON.
func TestExamples(t *testing.T) {
	const file = "../../node/docs/API.md"
	if *update {
		if err := os.WriteFile(file, Examples(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if told, err := os.ReadFile(file); err != nil || !bytes.Equal(told, Examples()) {
		t.Errorf("%s is not as the description has it: run go test ./gateway/api -update (%v)", file, err)
	}
	for _, g := range described().groups() {
		for _, o := range g.Operations {
			curl := o.Curl()
			if o.RequestBody != nil && !strings.Contains(curl, " -d '{") && !strings.Contains(curl, " -F ") && !strings.Contains(curl, "--data-binary") {
				t.Errorf("%s: %s", o.OperationID, curl)
			}
			if _, body, ok := strings.Cut(curl, " -d '"); ok && !json.Valid([]byte(strings.ReplaceAll(strings.TrimSuffix(body, "'"), `'\''`, "'"))) {
				t.Errorf("%s: %s", o.OperationID, body)
			}
			if answer := o.Answer(); answer != "" && !json.Valid([]byte(answer)) {
				t.Errorf("%s: %s", o.OperationID, answer)
			}
		}
	}
}
