package grammar

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
)

// conforms is a validator of its own for what the converter understands.
func conforms(root map[string]any, schema any, v any) error {
	s, ok := schema.(map[string]any)
	if !ok {
		return nil // true
	}
	if r, ok := s["$ref"].(string); ok {
		if r == "#" {
			return conforms(root, root, v)
		}
		return conforms(root, root["$defs"].(map[string]any)[strings.TrimPrefix(r, "#/$defs/")], v)
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		if list, ok := s[key].([]any); ok {
			for _, one := range list {
				if conforms(root, one, v) == nil {
					return nil
				}
			}
			return fmt.Errorf("%v is none of %v", v, list)
		}
	}
	if list, ok := s["enum"].([]any); ok && !slices.ContainsFunc(list, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(v) }) {
		return fmt.Errorf("%v is not in %v", v, list)
	}
	switch v := v.(type) {
	case string:
		return text(s, v)
	case float64:
		return number(s, v)
	case []any:
		return list(root, s, v)
	case map[string]any:
		return members(root, s, v)
	case nil:
		return hasType(s, "null")
	case bool:
		return hasType(s, "boolean")
	}
	return nil
}

func hasType(s map[string]any, names ...string) error {
	switch t := s["type"].(type) {
	case string:
		if !slices.Contains(names, t) {
			return fmt.Errorf("want %s, got %v", t, names)
		}
	case []any:
		if !slices.ContainsFunc(t, func(a any) bool { return slices.Contains(names, a.(string)) }) {
			return fmt.Errorf("want %v, got %v", t, names)
		}
	}
	return nil
}

func within(s map[string]any, low, high string, n float64) error {
	if l, ok := s[low].(float64); ok && n < l {
		return fmt.Errorf("%v is below %s %v", n, low, l)
	}
	if h, ok := s[high].(float64); ok && n > h {
		return fmt.Errorf("%v is above %s %v", n, high, h)
	}
	return nil
}

func text(s map[string]any, v string) error {
	layouts := map[string]string{"date": "2006-01-02", "time": "15:04:05.999999999Z07:00", "date-time": time.RFC3339}
	if f, ok := s["format"].(string); ok && layouts[f] != "" {
		if _, err := time.Parse(layouts[f], v); err != nil {
			return err
		}
	}
	if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
		return fmt.Errorf("%q does not match %q", v, p)
	}
	return errors.Join(hasType(s, "string"), within(s, "minLength", "maxLength", float64(utf8.RuneCountInString(v))))
}

func number(s map[string]any, v float64) error {
	names := []string{"number"}
	if v == float64(int64(v)) {
		names = append(names, "integer")
	}
	err := errors.Join(hasType(s, names...), within(s, "minimum", "maximum", v))
	if x, ok := s["exclusiveMinimum"].(float64); ok && v <= x {
		return fmt.Errorf("%v is not above %v", v, x)
	}
	if x, ok := s["exclusiveMaximum"].(float64); ok && v >= x {
		return fmt.Errorf("%v is not below %v", v, x)
	}
	return err
}

func list(root, s map[string]any, v []any) error {
	err := errors.Join(hasType(s, "array"), within(s, "minItems", "maxItems", float64(len(v))))
	prefix, _ := s["prefixItems"].([]any)
	for i, e := range v {
		if i < len(prefix) {
			err = errors.Join(err, conforms(root, prefix[i], e))
		} else {
			err = errors.Join(err, conforms(root, s["items"], e))
		}
	}
	return err
}

func members(root, s map[string]any, v map[string]any) error {
	err := hasType(s, "object")
	declared, _ := s["properties"].(map[string]any)
	for name, value := range v {
		if p, ok := declared[name]; ok {
			err = errors.Join(err, conforms(root, p, value))
		} else if s["additionalProperties"] == false {
			err = errors.Join(err, fmt.Errorf("%q is not declared", name))
		} else {
			err = errors.Join(err, conforms(root, s["additionalProperties"], value))
		}
	}
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			err = errors.Join(err, fmt.Errorf("%v is missing", name))
		}
	}
	return err
}

// check converts a schema and tries texts of its grammar.
func check(t interface {
	Helper()
	Fatalf(string, ...any)
}, schema string, seed uint64) {
	t.Helper()
	r, err := convert(json.RawMessage(schema))
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	var root map[string]any
	if err := json.Unmarshal([]byte(schema), &root); err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	random := rand.New(rand.NewPCG(seed, 0))
	for range 30 {
		out := sample(r, random)
		var v any
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatalf("%s: wrote %q: %v\n%s", schema, out, err, r)
		}
		if err := conforms(root, root, v); err != nil {
			t.Fatalf("%s: wrote %s: %v\n%s", schema, out, err, r)
		}
	}
}

var schemas = []string{
	`{}`, `{"type":"object"}`, `{"type":["string","null"]}`,
	`{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"},"c":{"enum":["x","y",3,null]}},"required":["b"]}`,
	`{"type":"object","properties":{"a":{},"b":{}},"required":["a","b","c"],"additionalProperties":true}`,
	`{"type":"object","additionalProperties":{"type":"integer","minimum":-5,"maximum":1234}}`,
	`{"type":"object","additionalProperties":false}`,
	`{"type":"array","items":{"type":"boolean"},"minItems":2,"maxItems":4}`, `{"type":"array","maxItems":1}`, `{"type":"array","maxItems":0}`,
	`{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":false}`,
	`{"type":"string","minLength":2,"maxLength":5}`, `{"type":"string","pattern":"^[a-c]{2,3}-(x|\\d+)$"}`, `{"pattern":"a\\\\b\"?"}`,
	`{"type":"string","pattern":"^[^\"]$"}`, `{"format":"date"}`, `{"format":"date-time"}`, `{"format":"time"}`, `{"format":"uuid"}`,
	`{"exclusiveMinimum":0,"exclusiveMaximum":2}`, `{"type":"integer","maximum":-7}`, `{"type":"integer","minimum":995}`, `{"type":"number"}`,
	`{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v","next"],"additionalProperties":false}}}`,
	`{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#"}}},"required":["kids"]}`,
	`{"oneOf":[{"const":1},{"type":"string","const":"two"}],"title":"T","description":"D"}`, `{"const":{"a":[1,2.50,"<>&\"\\"]}}`,
	`{"type":"object","properties":{"Grüße \"x\"":{"type":"null"}},"required":["Grüße \"x\""]}`, `{"allOf":[{"type":"null"}]}`,
}

func TestWhatIsWrittenConforms(t *testing.T) {
	for i, s := range schemas {
		check(t, s, uint64(i))
	}
}

func TestAnySchemaOfOurKeywords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(drawn(3).Draw(t, "schema"))
		if err != nil {
			t.Fatal(err)
		}
		check(t, string(raw), rapid.Uint64().Draw(t, "seed"))
	})
}

func drawn(depth int) *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		kinds := []string{"string", "integer", "number", "boolean", "null", "enum"}
		if depth > 0 {
			kinds = append(kinds, "object", "array", "anyOf", "map")
		}
		low, more := rapid.IntRange(-1200, 1200).Draw(t, "low"), rapid.IntRange(0, 1500).Draw(t, "more")
		switch kind := rapid.SampledFrom(kinds).Draw(t, "kind"); kind {
		case "string":
			n := rapid.IntRange(0, 9).Draw(t, "n")
			return map[string]any{"type": kind, "minLength": n, "maxLength": n + rapid.IntRange(0, 9).Draw(t, "m")}
		case "integer":
			return map[string]any{"type": kind, "minimum": low, "maximum": low + more}
		case "enum":
			return map[string]any{"enum": []any{low, "a\"b", nil}}
		case "object":
			properties, required := map[string]any{}, []string{}
			for i := range rapid.IntRange(1, 4).Draw(t, "properties") {
				properties["p"+strconv.Itoa(i)] = drawn(depth-1).Draw(t, "property")
				if rapid.Bool().Draw(t, "required") {
					required = append(required, "p"+strconv.Itoa(i))
				}
			}
			return map[string]any{"type": kind, "properties": properties, "required": required, "additionalProperties": rapid.Bool().Draw(t, "more")}
		case "array":
			n := rapid.IntRange(0, 3).Draw(t, "n")
			return map[string]any{"type": kind, "items": drawn(depth-1).Draw(t, "items"), "minItems": n, "maxItems": n + rapid.IntRange(0, 3).Draw(t, "m")}
		case "anyOf":
			return map[string]any{"anyOf": []any{drawn(depth-1).Draw(t, "one"), drawn(depth-1).Draw(t, "two")}}
		case "map":
			return map[string]any{"type": "object", "additionalProperties": drawn(depth-1).Draw(t, "value")}
		default:
			return map[string]any{"type": kind}
		}
	})
}

// Every integer between the bounds can be written, and no other.
func TestIntegersAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Int64Range(-300, 300).Draw(t, "low")
		high := low + rapid.Int64Range(0, 300).Draw(t, "more")
		n := integers(&low, &high)
		for i := low - 120; i <= high+120; i++ {
			if matches(n, strconv.FormatInt(i, 10)) != (i >= low && i <= high) {
				t.Fatalf("%d between %d and %d", i, low, high)
			}
		}
	})
}

// matches reports whether n can write exactly text; it knows what integers is made of.
func matches(n node, text string) bool { return slices.Contains(rests(n, text), "") }

func rests(n node, text string) (out []string) {
	switch n := n.(type) {
	case literal:
		if rest, ok := strings.CutPrefix(text, string(n)); ok {
			return []string{rest}
		}
	case class:
		if text != "" && text[0] >= n[0] && text[0] <= n[len(n)-1] {
			return []string{text[1:]}
		}
	case seq:
		out = []string{text}
		for _, m := range n {
			var next []string
			for _, t := range out {
				next = append(next, rests(m, t)...)
			}
			out = next
		}
	case alt:
		for _, m := range n {
			out = append(out, rests(m, text)...)
		}
	case rep:
		state := []string{text}
		for i := 0; i <= n.max && len(state) > 0; i++ {
			if i >= n.min {
				out = append(out, state...)
			}
			var next []string
			for _, t := range state {
				next = append(next, rests(n.item, t)...)
			}
			state = next
		}
	}
	return out
}

func TestRefusedByName(t *testing.T) {
	for schema, says := range map[string]string{
		`{"not":{}}`: `"not"`, `{"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}}`: `#/properties/a: the keyword "uniqueItems"`,
		`{"type":"object","patternProperties":{}}`: `"patternProperties"`, `{"type":"number","minimum":1}`: `"minimum"`, `{"if":true}`: `"if"`,
		`{"allOf":[{},{}]}`: "allOf", `{"type":"string","format":"email"}`: `"email"`, `{"type":"string","pattern":"(?=a)"}`: "pattern",
		`{"type":"string","pattern":"(?i)a"}`: "either case", `{"$ref":"http://x/y"}`: "$ref", `{"$ref":"#/$defs/no"}`: "not there", `{"type":"string","maxLength":500000}`: "at most 100000", `{"maxItems":5000}`: "at most 1000 ",
		`{"properties":{"a":{}},"additionalProperties":{"type":"string"}}`: "additionalProperties", `{"type":"text"}`: `"text"`, `[]`: "must be an object",
		`{"type":"object","required":["a"],"additionalProperties":false}`: "forbids", `{"$ref":"#"}`: "itself", `false`: "nothing conforms", `{"enum":[]}`: "enum",
		`{"$ref":"#/$defs/a","$defs":{"a":{"type":"array","minItems":1,"items":{"$ref":"#/$defs/a"}}}}`: "nothing that ends", `{"type":"string","enum":[1]}`: "of its type",
		`{"minimum":2,"maximum":1}`: "between", `{"type":"string","minLength":3,"maxLength":2}`: "characters", strings.Repeat(`{"items":`, 80) + "{}" + strings.Repeat("}", 80): "deeply",
	} {
		_, err := Schema(json.RawMessage(schema))
		var e *spec.Error
		if !errors.As(err, &e) || e.Param != "response_format" || !strings.Contains(e.Message, says) {
			t.Errorf("%.60s: %v, want %s", schema, err, says)
		}
	}
}

func FuzzSchema(f *testing.F) {
	for _, s := range schemas {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64) {
		if !json.Valid(raw) {
			return // ParseGeneration has seen to it
		}
		r, err := convert(raw)
		if err != nil {
			var e *spec.Error
			if !errors.As(err, &e) || e.Message == "" || e.Code.Lookup().Status/100 != 4 {
				t.Fatalf("the error is %v", err)
			}
			return
		}
		if out := sample(r, rand.New(rand.NewPCG(seed, 0))); !json.Valid([]byte(out)) {
			t.Errorf("%s wrote %q\n%s", raw, out, r)
		}
	})
}

func TestCallsOfFunctions(t *testing.T) {
	form := Form{Before: "<c>", After: "</c>", Between: "\n", Key: "arguments", Many: true}
	functions := []Function{
		{Name: "f", Parameters: json.RawMessage(`{"type":"object","properties":{"a":{"type":"string","format":"uri","minLength":1},"b":{"type":"array","uniqueItems":true,"items":{"type":"integer"}}},"required":["a"]}`)},
		{Name: "g", Strict: true, Parameters: json.RawMessage(`{"type":"object","properties":{"n":{"$ref":"#/$defs/n"}},"required":["n"],"additionalProperties":false,"$defs":{"n":{"enum":[1,2]}}}`)},
		{Name: "h"},
	}
	calls, err := NewCalls(form, functions)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		r := calls.copy()
		r["root"] = calls.all(false, form.Before)
		r.complete()
		text := sample(r, random)
		for _, call := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(text, "<c>"), "</c>"), "</c>\n<c>") {
			var c struct {
				Name      string
				Arguments map[string]any
			}
			if err := json.Unmarshal([]byte(call), &c); err != nil {
				t.Fatalf("%q: %v", call, err)
			}
			_, isText := c.Arguments["a"].(string)
			if c.Name == "f" && !isText || c.Name == "g" && c.Arguments["n"] != 1.0 && c.Arguments["n"] != 2.0 {
				t.Errorf("%q", call)
			}
		}
	}
	if once, err := calls.Whole(true, nil); err != nil || strings.Contains(once, `\x0A<c>`) {
		t.Errorf("%v: %s", err, once)
	}
	if after := calls.After(" <c", "<c>"[:2], true); !strings.Contains(after, `root ::= " <c>" r`) {
		t.Errorf("%s", after)
	}
	inside, err := NewCalls(Form{Key: "parameters"}, functions[1:2])
	if err != nil {
		t.Fatal(err)
	}
	if after := inside.After("\n{\"name\"", `{"name"`, true); !strings.Contains(after, `root ::= "\x0A{\"name\": \"g\", \"parameters\": " r`) {
		t.Errorf("%s", after)
	}
}
