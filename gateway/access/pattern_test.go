package access

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"*", "anything", true}, {"", "", true}, {"", "a", false},
		{"llama", "llama", true}, {"llama", "llama-3", false}, {"llama-*", "llama-", true}, {"llama-*", "llama", false},
		{"*-3", "llama-3", true}, {"*-3", "llama-3-3", true}, {"*-3", "llama-3b", false},
		{"a*b*c", "abc", true}, {"a*b*c", "aXbXc", true}, {"a*b*c", "acb", false}, {"a**c", "ac", true},
		{"a.c", "abc", false}, {"[ab]", "a", false}, {"?", "a", false}, {"Llama", "llama", false},
	} {
		if got := Match(c.pattern, c.name); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

// TestMatchAsRegexp holds Match against the slow and obvious way.
func TestMatchAsRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*.]{0,8}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[ab.]{0,10}`).Draw(t, "name")
		re := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$")
		if got := Match(pattern, name); got != re.MatchString(name) {
			t.Fatalf("Match(%q, %q) = %v", pattern, name, got)
		}
	})
}

// TestMatchIsNotExponential takes a pattern that a backtracking matcher never ends with.
func TestMatchIsNotExponential(t *testing.T) {
	began := time.Now()
	if Match(strings.Repeat("*a", 64), strings.Repeat("a", 120)+"b") {
		t.Error("matches")
	}
	if took := time.Since(began); took > 20*time.Second { // a backtracking one takes longer than anybody lives
		t.Errorf("took %v", took)
	}
}

// TestMatchOfPatterns: where a pattern fits another, whatever fits the one fits
// the other; and where it does not, something does not.
func TestMatchOfPatterns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wide := rapid.StringMatching(`[ab*]{0,6}`).Draw(t, "wide")
		narrow := rapid.StringMatching(`[ab*]{0,6}`).Draw(t, "narrow")
		name := narrow
		for strings.Contains(name, "*") {
			name = strings.Replace(name, "*", rapid.StringMatching(`[ab]{0,3}`).Draw(t, "for a star"), 1)
		}
		switch covered := Match(wide, narrow); {
		case covered && !Match(wide, name):
			t.Fatalf("%q covers %q and not %q", wide, narrow, name)
		case !covered && Match(wide, strings.ReplaceAll(narrow, "*", "c")):
			t.Fatalf("%q does not cover %q", wide, narrow)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b*", "aXbY")
	f.Add("*", "")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 64 || len(name) > 256 {
			return
		}
		quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, "(?s:.*)")
		re, err := regexp.Compile("^" + quoted + "$")
		if err != nil || !utf8.ValidString(pattern) || !utf8.ValidString(name) {
			Match(pattern, name)
			return
		}
		if got := Match(pattern, name); got != re.MatchString(name) || got != Match(pattern, []byte(name)) {
			t.Errorf("Match(%q, %q) = %v", pattern, name, got)
		}
	})
}
