package egress

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

func TestBelow(t *testing.T) {
	prefixes := []string{"https://hub.example/models/", "http://10.0.0.9:8000"}
	for text, want := range map[string]bool{
		"https://hub.example/models/a.gguf": true, "https://HUB.example:443/models/x/a.gguf?download=true": true, "https://hub.example/models": true,
		"http://10.0.0.9:8000/any": true, "http://10.0.0.9:8000": true, "http://10.0.0.9:8000/": true,
		"https://hub.example/modelsx/a": false, "http://hub.example/models/a": false, "https://hub.example:444/models/a": false, "https://hub.example.evil.test/models/a": false,
		"https://hub.example/models/../secret": false, "https://hub.example/models/%2e%2e/secret": false, "https://hub.example/models%2fa": false,
		"https://hub.example/models//a": false, "https://me@hub.example/models/a": false, "https://hub.example/models/%5c..": false, "http://10.0.0.9:80/": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Below(prefixes, u); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if u, _ := url.Parse("https://hub.example/a"); Below(nil, u) || Below([]string{"://"}, u) {
		t.Error("what nobody allowed is allowed")
	}
}

func FuzzBelow(f *testing.F) {
	f.Add("https://hub.example/models/../a")
	f.Add("https://hub.example/models/a%2f..%2f..")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil || !Below([]string{"https://hub.example/models"}, u) {
			return
		}
		if clean := path.Clean(u.Path); clean != "/models" && !strings.HasPrefix(clean, "/models/") {
			t.Fatalf("%q leads to %q", text, clean)
		}
	})
}
