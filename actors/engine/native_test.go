package engine

import (
	"io"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestNativeAPIs: an engine is asked in a client's API where it is deployed so, its own description has that, and
// tenants' prompts stay apart there or need not.
func TestNativeAPIs(t *testing.T) {
	for _, c := range []struct {
		name    string
		options map[string]string
		can     spec.Ability
	}{
		{"not deployed so", nil, 0},
		{"apart", map[string]string{nativeAPIs: "on"}, spec.AbleResponses},
		{"shared", map[string]string{nativeAPIs: "on", sharePrefixes: "on"}, native},
	} {
		for _, preset := range []string{VLLM, SGLang} {
			config, record := fakeConfig(t, "")
			s := demoSpec(1)
			s.Preset, s.Options = preset, c.options
			e := start(t, New(config), s)
			if can := e.Abilities().Can & native; can != c.can {
				t.Errorf("%s, %s: %s", preset, c.name, can)
			}
			answer, err := e.Do(t.Context(), "/v1/responses", Head{CacheSalt: "tenant"}, []byte(`{"model":"m","input":"x"}`))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			calls := noted(t, record[preset])
			if last := calls[len(calls)-1]; last.Path != "/v1/responses" || strings.Contains(last.Body, `"cache_salt":"tenant"`) != (c.options[sharePrefixes] != "on") {
				t.Errorf("%s, %s: sent %s", preset, c.name, last.Body)
			}
		}
	}
	var none Config
	if a := New(none).Abilities(External, map[string]string{nativeAPIs: "on"}); a.Can&native != native {
		t.Errorf("an engine of somebody else's: %s", a.Can)
	}
	if a := New(none).Abilities(VLLM, map[string]string{nativeAPIs: "on", "task": "rerank"}); a.Can&native != 0 {
		t.Errorf("a reranker: %s", a.Can)
	}
}
