package api

import (
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
