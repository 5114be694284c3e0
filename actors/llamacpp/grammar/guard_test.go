package grammar

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func patterned(p string) string {
	b, _ := json.Marshal(map[string]any{"type": "string", "pattern": p})
	return string(b)
}

// many are n properties, none of them required.
func many(n int, value string) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"property%d":%s`, i, value))
	}
	return `{"type":"object","properties":{` + strings.Join(parts, ",") + `}}`
}

func texts(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"value %d"`, i*7))
	}
	return `{"enum":[` + strings.Join(parts, ",") + `]}`
}

var everyday = []string{
	patterned(`^[a-z]{1,64}$`), patterned(`^\d{4}-\d{2}-\d{2}$`), patterned(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
	patterned(`^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$`), patterned(`^https?://[^\s/$.?#].[^\s]*$`), patterned(`^(\+\d{1,3}[- ]?)?\d{10}$`),
	patterned(`^([A-Z][a-z]+ )*[A-Z][a-z]+$`), patterned(`^\p{L}{1,100}$`), patterned(`foo.*bar`), patterned(`^[^,]*(,[^,]*)*$`), patterned(`^(a?){100}a{100}$`),
	patterned(`^(.?){200}$`), patterned(`^((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)$`), patterned(`^v?\d+\.\d+\.\d+(-[\w.]+)?(\+[\w.]+)?$`), patterned(`^#?([a-f0-9]{6}|[a-f0-9]{3})$`),
	patterned(`^[a-z0-9]+(-[a-z0-9]+)*$`), patterned(`^.{0,500}$`), patterned(`^(a*)*b$`),
	`{"type":"string","maxLength":1000}`, `{"type":"string","maxLength":10000}`, `{"type":"string","minLength":2100,"maxLength":100000}`, `{"type":"string","minLength":2000,"maxLength":4000}`, `{"type":"string","minLength":900,"maxLength":1000}`, `{"type":"array","maxItems":1000,"items":{"type":["string","null"]}}`,
	`{"type":"array","minItems":100,"maxItems":1000,"items":{"type":"array","maxItems":1000}}`, `{"type":"array","items":` + many(20, `{"type":["number","null"]}`) + `}`,
	many(100, `{"type":"string"}`), many(100, `{}`), many(400, `{"type":["string","null"]}`), many(30, many(30, `{"type":["string","null"],"maxLength":100}`)), texts(2000), many(50, texts(100)),
	`{}`, `{"type":"object"}`, `{"format":"uuid"}`, `{"format":"date-time"}`, `{"type":"integer","minimum":-123456,"maximum":987654321}`,
	`{"$ref":"#/$defs/n","$defs":{"n":{"anyOf":[{"type":"null"},{"type":"array","items":{"$ref":"#/$defs/n"}},{"type":"object","properties":{"l":{"$ref":"#/$defs/n"},"r":{"$ref":"#/$defs/n"}}}]}}}`,
	`{"anyOf":[{"type":"null"},{"type":"number"},{"type":"string"},{"type":"string","maxLength":10}]}`,
}

// What is written by these is followed to its end, and no step is refused.
func TestEverydaySchemasPassTheGuard(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, s := range everyday {
		r, err := convert(json.RawMessage(s))
		if err != nil {
			t.Errorf("%.200s: %v", s, err)
			continue
		}
		for range 3 {
			g, err := NewGuard(r.String())
			if err != nil {
				t.Errorf("%.200s: %v", s, err)
				break
			}
			out := sample(r, random)
			for i := 0; i < len(out) && i < 1500; i += 3 { // pieces that end within characters, too
				if err := g.Check(); err != nil || len(g.now) == 0 {
					t.Fatalf("%.200s: after %q: %v, %d places", s, out[:i], err, len(g.now))
				}
				g.Accept([]byte(out[i:min(i+3, len(out))]))
			}
			if len(out) < 1500 && len(g.now) == 0 {
				t.Errorf("%.200s: %q is not followed to its end", s, out)
			}
		}
	}
}

func TestLongTextsHaveTheirLength(t *testing.T) {
	for _, c := range []struct{ least, most int }{{0, 10000}, {0, 1001}, {1500, 3500}, {2000, 4000}, {1999, 2001}, {3000, 3000}, {2500, -1}} {
		s := fmt.Sprintf(`{"type":"string","minLength":%d}`, c.least)
		if c.most >= 0 {
			s = fmt.Sprintf(`{"type":"string","minLength":%d,"maxLength":%d}`, c.least, c.most)
		}
		text, err := Schema(json.RawMessage(s))
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		for _, n := range []int{0, 999, 1000, 1001, c.least - 1, c.least, c.least + 1, c.most - 1, c.most, c.most + 1, 3333} {
			if n < 0 {
				continue
			}
			g, err := NewGuard(text)
			if err != nil {
				t.Fatal(err)
			}
			g.Accept([]byte(`"` + strings.Repeat("x", n) + `"`))
			if taken, want := len(g.now) > 0, n >= c.least && (c.most < 0 || n <= c.most); taken != want {
				t.Errorf("%s: %d characters are taken: %v", s, n, taken)
			}
		}
	}
}

func TestExplosiveSchemasAreRefused(t *testing.T) {
	for _, s := range []string{
		patterned(`^((a?b?){20}){20}c$`), patterned(`^(a|b?c?|d?){200}$`), patterned(`^(((.|..)*)(.|...)*)*Z$`),
		patterned(`^(.?b?){100}$`), patterned(`^([a-z]?[a-f0-9]?){50}-$`), patterned(`^(.*x?){40}y$`), patterned(`^(.*y?.*z?.*w?.*v?.*u?.*t?.*)s$`),
		many(700, `{"type":"string"}`), `{"anyOf":[` + strings.TrimSuffix(strings.Repeat(`{"type":"string","maxLength":1000},`, 700), ",") + `]}`,
		`{"type":"array","prefixItems":[{"anyOf":[` + strings.TrimSuffix(strings.Repeat(patterned(`^(.?b?){100}$`)+",", 3), ",") + `]}]}`,
	} {
		_, err := Schema(json.RawMessage(s))
		var e *spec.Error
		if !errors.As(err, &e) || e.Code != spec.CodeUnsupported || !strings.Contains(e.Message, ErrAmbiguous.Error()) {
			t.Errorf("%.200s: %v", s, err)
		}
	}
	_, err := Schema(json.RawMessage(`{"type":"object","properties":{"x":` + patterned(`^(.?b?){100}$`) + `}}`))
	if err == nil || !strings.Contains(err.Error(), "#/properties/x") {
		t.Errorf("the place is not told: %v", err)
	}
}

// What only shows while an answer is written is found there.
func TestGuardStopsWhatGrowsLater(t *testing.T) {
	var any []string
	for i := range 100 { // as many ways to read an array as there are kinds of it, each with many ways to read its entry
		any = append(any, fmt.Sprintf(`{"type":"array","items":{"anyOf":[{"type":"string","minLength":%d},{"type":"string"},{"type":"array","items":{"type":"string","minLength":%[1]d}}]}}`, i))
	}
	text, err := Schema(json.RawMessage(`{"type":"object","required":["a long name"],"properties":{"a long name":{"type":"array","items":{"anyOf":[` + strings.Join(any, ",") + `]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGuard(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []byte(`{"a long name":[["abcd","efgh","ijkl","mnop"`) {
		g.Accept([]byte{c})
		if err = g.Check(); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrAmbiguous) {
		t.Errorf("%v with %d places", err, len(g.now))
	}
}

// The repetitions that are made simpler allow what they did.
func TestSimplerPatternsMeanTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, p := range []string{
		`^(a?){3}$`, `^((a?){2}){2}b$`, `^(a?){2}a{2}$`, `^(a+)*$`, `^(a+){2,3}$`, `^(a*){2}b$`, `^a?a?a?$`, `^(|a){3}$`, `^(a?|b){2}$`, `^(a{0,2}b?){2}$`, `^(a+)?b$`, `^a+a*$`, `^(a{2}){2}a?$`,
		`^(){3}a$`, `^(a{0}){3}b$`,
	} {
		re := regexp.MustCompile(p)
		n, err := pattern(p)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		r := rules{"root": n}
		r.complete()
		for range 200 {
			if out := sample(r, random); !re.MatchString(out) {
				t.Errorf("%s: %q", p, out)
			}
		}
		text := r.String()
		for _, in := range short("ab", 6) {
			g, err := NewGuard(text)
			if err != nil {
				t.Fatal(err)
			}
			g.Accept([]byte(in))
			took := false
			for _, id := range g.now {
				took = took || id == 0
			}
			if took != re.MatchString(in) {
				t.Errorf("%s: %q is taken: %v", p, in, took)
			}
		}
	}
}

// short are all texts of the letters up to a length.
func short(letters string, most int) []string {
	all := []string{""}
	for from := 0; most > 0; most-- {
		end := len(all)
		for _, s := range all[from:end] {
			for _, l := range letters {
				all = append(all, s+string(l))
			}
		}
		from = end
	}
	return all
}

func TestEnumsShareTheirBeginnings(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	list := []string{"", "a", "ab", "abc", "é", "è", "éa", "x" + strings.Repeat("y", 200), "x"}
	for i := range 150 {
		list = append(list, strings.Repeat("n", i))
	}
	seen := map[string]bool{}
	r := rules{"root": oneText(list, 0)}
	g, err := NewGuard(r.String())
	if err != nil || len(g.now) > 7 {
		t.Fatalf("%v, %d places", err, len(g.now))
	}
	for range 3000 {
		seen[sample(r, random)] = true
	}
	for s := range seen {
		found := false
		for _, l := range list {
			found = found || l == s
		}
		if !found {
			t.Errorf("%q is none of them", s)
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d were seen", len(seen))
	}
}

func FuzzPatternIsGuarded(f *testing.F) {
	for _, p := range []string{`^(.?){200}$`, `^((a?b?){20}){20}c$`, `a|b*`, `[^"]+`} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if _, err := syntax.Parse(p, syntax.Perl); err != nil || len(p) > 200 {
			return
		}
		text, err := Schema(json.RawMessage(patterned(p)))
		if err != nil {
			return
		}
		g, err := NewGuard(text)
		if err != nil {
			t.Fatalf("%q is taken and refused: %v", p, err)
		}
		g.Accept([]byte(`"aé`))
		_ = g.Check()
	})
}

// Whatever is required, all ordered choices of properties that have it are taken, and no others.
func TestMembersAreChosenFreely(t *testing.T) {
	names := []string{"a", "b", "ab", "c"}
	chosen := func(set int) (out []string) {
		for i, n := range names {
			if set>>i&1 == 1 {
				out = append(out, `"`+n+`"`)
			}
		}
		return out
	}
	for required := range 16 {
		text, err := Schema(json.RawMessage(`{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"ab":{"type":"null"},"c":{"type":"null"}},"required":[` + strings.Join(chosen(required), ",") + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		for written := range 16 {
			g, err := NewGuard(text)
			if err != nil {
				t.Fatal(err)
			}
			answer := "{"
			for i, n := range chosen(written) {
				if i > 0 {
					answer += ", "
				}
				answer += n + ": null"
			}
			if g.Accept([]byte(answer + "}")); g.Follows() != (written&required == required) {
				t.Errorf("required %v: %s} is taken: %v", chosen(required), answer, g.Follows())
			}
		}
	}
}
