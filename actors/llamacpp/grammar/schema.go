package grammar

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Schema is the grammar of the JSON texts that conform to a JSON schema.
func Schema(raw json.RawMessage) (string, error) {
	r, err := convert(raw)
	if err != nil {
		return "", err
	}
	return r.String(), nil
}

func convert(raw json.RawMessage) (rules, error) {
	if len(raw) > maxSchema {
		return nil, unsupported("", "it has %d bytes; at most %d are supported", len(raw), maxSchema)
	}
	c := &converter{document: raw, rules: rules{}, refs: map[string]ref{}}
	n, err := c.schema(raw, "#", 0)
	if err != nil {
		return nil, err
	}
	c.rules["root"] = n
	c.rules.complete()
	if heights := c.rules.heights(); heights["root"] == endless {
		return nil, invalid("", "nothing that ends conforms to it")
	}
	if _, err := NewGuard(c.rules.String()); err != nil {
		return nil, unsupported("", "%s", err)
	}
	return c.rules, nil
}

// A converter makes one document's rules.
type converter struct {
	document json.RawMessage
	rules    rules
	refs     map[string]ref // by pointer
	// lenient takes what it cannot keep to as a wider schema that it can, and passes over keywords that it does not know.
	lenient bool
}

// rule names n, so that it can be repeated and referred to.
func (c *converter) rule(n node) ref {
	name := fmt.Sprintf("r%d", len(c.rules))
	c.rules[name] = n
	return ref(name)
}

func (c *converter) schema(raw json.RawMessage, at string, depth int) (node, error) {
	n, err := c.exact(raw, at, depth)
	var e *spec.Error
	if err != nil && c.lenient && errors.As(err, &e) && e.Code == spec.CodeUnsupported {
		return wider(raw), nil
	}
	return n, err
}

// wider is any value of the one type that a schema names, or any at all.
func wider(raw json.RawMessage) node {
	var o struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(raw, &o) == nil {
		if _, ok := keywords[o.Type]; ok {
			return ref(o.Type)
		}
	}
	return ref("value")
}

func (c *converter) exact(raw json.RawMessage, at string, depth int) (node, error) {
	if depth > maxDepth || len(c.rules) > maxRules {
		return nil, unsupported(at, "it is nested or repeated too deeply")
	}
	switch strings.TrimSpace(string(raw)) {
	case "true":
		return ref("value"), nil
	case "false":
		return nil, unsupported(at, "nothing conforms to it")
	}
	o, err := parseObject(raw)
	if err != nil {
		return nil, invalid(at, "it must be an object")
	}
	for _, k := range []struct {
		key  string
		read func(object, string, int) (node, error)
	}{
		{"$ref", c.reference}, {"const", c.constant}, {"enum", c.enumeration},
		{"anyOf", c.anyOf}, {"oneOf", c.anyOf}, {"allOf", c.allOf},
	} {
		if _, ok := o.values[k.key]; ok {
			return k.read(o, at, depth)
		}
	}
	return c.typed(o, at, depth)
}

func (c *converter) reference(o object, at string, depth int) (node, error) {
	if err := c.only(o, at, "$ref"); err != nil {
		return nil, err
	}
	var target string
	if json.Unmarshal(o.values["$ref"], &target) != nil || !strings.HasPrefix(target, "#") {
		return nil, unsupported(at, "$ref must point into the same document, as #/$defs/name does")
	}
	if r, ok := c.refs[target]; ok {
		return r, nil
	}
	raw, ok := find(c.document, target[1:])
	if !ok {
		return nil, invalid(at, "$ref points to %s, which is not there", target)
	}
	// named before it is read: it may refer to itself
	r := c.rule(nil)
	c.refs[target] = r
	n, err := c.schema(raw, target, depth+1)
	if err != nil {
		return nil, err
	}
	if loop, ok := n.(ref); ok && loop == r {
		return nil, invalid(at, "$ref refers to nothing but itself")
	}
	c.rules[string(r)] = n
	return r, nil
}

func (c *converter) constant(o object, at string, _ int) (node, error) {
	if err := c.only(o, at, "const", "type"); err != nil {
		return nil, err
	}
	return c.oneOf(o, []json.RawMessage{o.values["const"]}, at)
}

func (c *converter) enumeration(o object, at string, _ int) (node, error) {
	if err := c.only(o, at, "enum", "type"); err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if json.Unmarshal(o.values["enum"], &list) != nil || len(list) == 0 {
		return nil, invalid(at, "enum must be a list with at least one value")
	}
	return c.oneOf(o, list, at)
}

// oneOf are the values of the types that the schema names besides.
func (c *converter) oneOf(o object, list []json.RawMessage, at string) (node, error) {
	var types []string
	if _, ok := o.values["type"]; ok {
		var err error
		if types, err = typesOf(o, at); err != nil {
			return nil, err
		}
	}
	var texts []string
	seen := map[string]bool{}
	for _, v := range list {
		if types != nil && !slices.ContainsFunc(types, func(t string) bool { return isOf(v, t) }) {
			continue
		}
		text, err := exactly(v, at)
		if err != nil {
			return nil, err
		}
		if !seen[text] {
			seen[text] = true
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		return nil, invalid(at, "none of its values is of its type")
	}
	return oneText(texts, 0), nil
}

func isOf(raw json.RawMessage, t string) bool {
	text := strings.TrimSpace(string(raw))
	switch t {
	case "object":
		return strings.HasPrefix(text, "{")
	case "array":
		return strings.HasPrefix(text, "[")
	case "string":
		return strings.HasPrefix(text, `"`)
	case "boolean":
		return text == "true" || text == "false"
	case "null":
		return text == "null"
	case "number":
		return strings.ContainsAny(text[:1], "-0123456789")
	case "integer":
		_, err := strconv.ParseInt(text, 10, 64)
		return err == nil
	}
	return false
}

// exactly is one value, written without white space.
func exactly(raw json.RawMessage, at string) (string, error) {
	var v any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber() // as it was written
	if d.Decode(&v) != nil {
		return "", invalid(at, "a value of it is no JSON")
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", invalid(at, "a value of it is no JSON")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func (c *converter) anyOf(o object, at string, depth int) (node, error) {
	key := "anyOf"
	if _, ok := o.values[key]; !ok {
		key = "oneOf"
	}
	if err := c.only(o, at, key); err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if json.Unmarshal(o.values[key], &list) != nil || len(list) == 0 {
		return nil, invalid(at, "%s must be a list with at least one schema", key)
	}
	var a alt
	for i, s := range list {
		n, err := c.schema(s, fmt.Sprintf("%s/%s/%d", at, key, i), depth+1)
		if err != nil {
			return nil, err
		}
		a = append(a, n)
	}
	return a, nil
}

func (c *converter) allOf(o object, at string, depth int) (node, error) {
	if err := c.only(o, at, "allOf"); err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if json.Unmarshal(o.values["allOf"], &list) != nil || len(list) != 1 {
		return nil, unsupported(at, "allOf is supported with one schema only")
	}
	return c.schema(list[0], at+"/allOf/0", depth+1)
}
