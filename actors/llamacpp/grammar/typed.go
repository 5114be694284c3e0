package grammar

import (
	"encoding/json"
	"fmt"
	"slices"
)

// keywords are those of each type.
var keywords = map[string][]string{
	"object":  {"properties", "required", "additionalProperties"},
	"array":   {"items", "prefixItems", "minItems", "maxItems", "uniqueItems"},
	"string":  {"minLength", "maxLength", "pattern", "format"},
	"integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"},
	"number":  {"format"},
	"boolean": nil,
	"null":    nil,
}

// typed reads a schema that says its type, or whose keywords tell it.
func (c *converter) typed(o object, at string, depth int) (node, error) {
	types, err := typesOf(o, at)
	if err != nil {
		return nil, err
	}
	known := []string{"type"}
	for _, t := range types {
		more, ok := keywords[t]
		if !ok {
			return nil, invalid(at, "the type %q is not JSON schema's", t)
		}
		known = append(known, more...)
	}
	if err := c.only(o, at, known...); err != nil {
		return nil, err
	}
	if len(types) == 0 {
		return ref("value"), nil
	}
	var a alt
	for _, t := range types {
		n, err := c.ofType(t, o, at, depth)
		if err != nil {
			return nil, err
		}
		a = append(a, n)
	}
	if len(a) == 1 {
		return a[0], nil
	}
	return a, nil
}

func typesOf(o object, at string) ([]string, error) {
	raw, ok := o.values["type"]
	if !ok {
		for _, t := range []string{"object", "array", "string", "integer"} {
			for _, k := range keywords[t] {
				if _, ok := o.values[k]; ok {
					return []string{t}, nil
				}
			}
		}
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil, invalid(at, "type must be a name or a list of names")
	}
	return list, nil
}

func (c *converter) ofType(t string, o object, at string, depth int) (node, error) {
	switch t {
	case "object":
		return c.object(o, at, depth)
	case "array":
		return c.array(o, at, depth)
	case "string":
		return c.text(o, at)
	case "integer":
		return c.integers(o, at)
	}
	return ref(t), nil // number, boolean, null
}

func (c *converter) text(o object, at string) (node, error) {
	least, err := o.count(at, "minLength", 0, maxLength)
	if err != nil {
		return nil, err
	}
	most, err := o.count(at, "maxLength", -1, maxLength)
	if err != nil {
		return nil, err
	}
	if most >= 0 && most < least {
		return nil, invalid(at, "no string has at least %d and at most %d characters", least, most)
	}
	var pat, format string
	for key, into := range map[string]*string{"pattern": &pat, "format": &format} {
		if raw, ok := o.values[key]; ok && json.Unmarshal(raw, into) != nil {
			return nil, invalid(at, "%s must be a string", key)
		}
	}
	bounded := least > 0 || most >= 0
	switch {
	case format != "" && (pat != "" || bounded), pat != "" && bounded:
		return nil, unsupported(at, "format, pattern and a length exclude each other here")
	case format != "":
		n, ok := formats[format]
		if !ok {
			return nil, unsupported(at, "the format %q is not supported", format)
		}
		return quoted(n), nil
	case pat != "":
		n, err := pattern(pat)
		if err != nil {
			return nil, unsupported(at, "the pattern %q: %s", pat, err)
		}
		return quoted(n), nil
	case bounded:
		return quoted(c.length(least, most)), nil
	}
	return ref("string"), nil
}

// length is least to most characters (below 0: without bound). llama.cpp takes maxRepeats of them at once: longer texts
// are blocks of as many, then a shorter one.
func (c *converter) length(least, most int) node {
	char := ref("char")
	if max(least, most) <= maxRepeats {
		return rep{char, least, most}
	}
	block := c.rule(rep{char, maxRepeats, maxRepeats})
	var s seq
	for range least / maxRepeats {
		s = append(s, block)
	}
	if rest := least % maxRepeats; rest > 0 {
		s = append(s, rep{char, rest, rest})
	}
	if most < 0 {
		return append(s, rep{char, 0, -1})
	}
	less, left := c.rule(rep{char, 0, maxRepeats - 1}), most-least
	tail := node(rep{char, 0, left % maxRepeats})
	if left%maxRepeats == 0 {
		tail = seq{}
	}
	for range left / maxRepeats {
		tail = c.rule(alt{seq{block, tail}, less})
	}
	return append(s, tail)
}

func (c *converter) integers(o object, at string) (node, error) {
	var bounds [4]*int64
	for i, k := range []struct {
		key  string
		more int64
	}{{"minimum", 0}, {"exclusiveMinimum", 1}, {"maximum", 0}, {"exclusiveMaximum", -1}} {
		var err error
		if bounds[i], err = o.integer(at, k.key, k.more); err != nil {
			return nil, err
		}
	}
	low, high := bounds[0], bounds[2]
	if low == nil || bounds[1] != nil && *bounds[1] > *low {
		low = bounds[1]
	}
	if bounds[0] != nil && low == nil {
		low = bounds[0]
	}
	if high == nil || bounds[3] != nil && *bounds[3] < *high {
		high = bounds[3]
	}
	if high == nil {
		high = bounds[2]
	}
	if low == nil && high == nil {
		return ref("integer"), nil
	}
	if low != nil && high != nil && *low > *high {
		return nil, invalid(at, "no integer lies between %d and %d", *low, *high)
	}
	return integers(low, high), nil
}

func (c *converter) array(o object, at string, depth int) (node, error) {
	if raw, ok := o.values["uniqueItems"]; ok && string(raw) != "false" {
		return nil, unsupported(at, "the keyword %q is not supported here", "uniqueItems")
	}
	least, err := o.count(at, "minItems", 0, maxRepeats)
	if err != nil {
		return nil, err
	}
	most, err := o.count(at, "maxItems", -1, maxRepeats)
	if err != nil {
		return nil, err
	}
	if _, ok := o.values["prefixItems"]; ok {
		return c.tuple(o, at, depth, least, most)
	}
	item := node(ref("value"))
	if raw, ok := o.values["items"]; ok {
		if item, err = c.schema(raw, at+"/items", depth+1); err != nil {
			return nil, err
		}
	}
	if most >= 0 && most < least {
		return nil, invalid(at, "no list has at least %d and at most %d entries", least, most)
	}
	if most == 0 {
		return literal("[]"), nil
	}
	one := c.rule(item)
	more := rep{c.rule(comma(one)), max(least-1, 0), most}
	if most > 0 {
		more.max = most - 1
	}
	list := node(seq{one, more})
	if more.max == 0 {
		list = one
	}
	if least == 0 {
		list = optional(list)
	}
	return brackets(list), nil
}

// tuple has exactly its prefixItems.
func (c *converter) tuple(o object, at string, depth, least, most int) (node, error) {
	var list []json.RawMessage
	if json.Unmarshal(o.values["prefixItems"], &list) != nil || len(list) == 0 {
		return nil, invalid(at, "prefixItems must be a list with at least one schema")
	}
	if raw, ok := o.values["items"]; ok && string(raw) != "false" {
		return nil, unsupported(at, "items beside prefixItems is supported as false only")
	}
	if least > len(list) || most >= 0 && most < len(list) {
		return nil, unsupported(at, "minItems and maxItems must allow for the %d prefixItems", len(list))
	}
	var s seq
	for i, raw := range list {
		n, err := c.schema(raw, fmt.Sprintf("%s/prefixItems/%d", at, i), depth+1)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			n = comma(n)
		}
		s = append(s, n)
	}
	return brackets(s), nil
}

func (c *converter) object(o object, at string, depth int) (node, error) {
	var required []string
	if raw, ok := o.values["required"]; ok && json.Unmarshal(raw, &required) != nil {
		return nil, invalid(at, "required must be a list of names")
	}
	declared := object{values: map[string]json.RawMessage{}}
	if raw, ok := o.values["properties"]; ok {
		var err error
		if declared, err = parseObject(raw); err != nil {
			return nil, invalid(at, "properties must be an object")
		}
	}
	more := string(o.values["additionalProperties"])
	for _, name := range required {
		if _, ok := declared.values[name]; ok {
			continue
		}
		if more == "false" {
			return nil, invalid(at, "it requires %q and forbids it", name)
		}
		declared.keys = append(declared.keys, name)
		if declared.values[name] = json.RawMessage("true"); more != "" {
			declared.values[name] = o.values["additionalProperties"]
		}
	}
	switch {
	case len(declared.keys) > 0 && more != "" && more != "true" && more != "false" && more != "{}":
		return nil, unsupported(at, "additionalProperties with a schema is supported without properties only")
	case len(declared.keys) > 0:
		return c.members(declared, required, at, depth)
	case more == "false":
		return literal("{}"), nil
	case more == "" || more == "true":
		return ref("object"), nil
	}
	value, err := c.schema(o.values["additionalProperties"], at+"/additionalProperties", depth+1)
	if err != nil {
		return nil, err
	}
	return braces(optional(listOf(member(ref("string"), value)))), nil
}

// members are the declared properties in their order, those that are not required optional. From the last to the
// first, rest is what may come behind a name's quotation mark; comma and mark are written once for all of them, so that
// llama.cpp has few places to try.
func (c *converter) members(declared object, required []string, at string, depth int) (node, error) {
	var rest node
	must := false // one of rest is required
	mark := literal(`"`)
	for i := len(declared.keys) - 1; i >= 0; i-- {
		name := declared.keys[i]
		value, err := c.schema(declared.values[name], at+"/properties/"+name, depth+1)
		if err != nil {
			return nil, err
		}
		this := seq{c.rule(member(literal(inJSON(name)+`"`), value))}
		if rest != nil {
			if more := comma(seq{mark, rest}); must {
				this = append(this, more)
			} else {
				this = append(this, optional(more))
			}
		}
		needed := slices.Contains(required, name)
		if must = must || needed; needed || rest == nil {
			rest = c.rule(this)
		} else {
			rest = c.rule(alt{this, rest})
		}
	}
	if must {
		return braces(seq{mark, rest}), nil
	}
	return braces(optional(seq{mark, rest})), nil
}
