package mockengine

import (
	"encoding/json"
	"math"
	"strings"
)

// maxDepth bounds what a schema that refers to itself makes.
const maxDepth = 12

// sample is a JSON text that the schema allows, for the keywords that clients' libraries make of
// types: every property, one element of each list, the first of what may be chosen from.
func sample(schema json.RawMessage) string {
	var root map[string]any
	if json.Unmarshal(schema, &root) != nil {
		return "{}"
	}
	out, err := json.Marshal(value(root, root, 0))
	if err != nil {
		return "{}"
	}
	return string(out)
}

func value(root, s map[string]any, depth int) any {
	if depth > maxDepth {
		return nil
	}
	if to, ok := s["$ref"].(string); ok {
		return value(root, resolve(root, to), depth+1)
	}
	if v, ok := s["const"]; ok {
		return v
	}
	if list, ok := s["enum"].([]any); ok && len(list) > 0 {
		return list[0]
	}
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		if list, ok := s[word].([]any); ok && len(list) > 0 {
			first, _ := list[0].(map[string]any)
			return value(root, first, depth+1)
		}
	}
	switch kind(s) {
	case "string":
		return "text"
	case "integer", "number":
		least, most := -math.MaxFloat64, math.MaxFloat64
		if m, ok := s["minimum"].(float64); ok {
			least = m
		}
		if m, ok := s["maximum"].(float64); ok {
			most = m
		}
		return min(max(7, least), most)
	case "boolean":
		return true
	case "array":
		item, ok := s["items"].(map[string]any)
		if !ok {
			return []any{}
		}
		return []any{value(root, item, depth+1)}
	case "object":
		return properties(root, s, depth)
	}
	return nil
}

func properties(root, s map[string]any, depth int) map[string]any {
	out := map[string]any{}
	listed, _ := s["properties"].(map[string]any)
	for name, p := range listed {
		p, _ := p.(map[string]any)
		out[name] = value(root, p, depth+1)
	}
	return out
}

// kind is the type that a schema names, the first of several.
func kind(s map[string]any) string {
	switch t := s["type"].(type) {
	case string:
		return t
	case []any:
		if len(t) > 0 {
			first, _ := t[0].(string)
			return first
		}
	}
	if _, ok := s["properties"]; ok {
		return "object"
	}
	return ""
}

// resolve follows a reference into the same document.
func resolve(root map[string]any, to string) map[string]any {
	at := root
	for _, step := range strings.Split(strings.TrimPrefix(to, "#/"), "/") {
		next, ok := at[step].(map[string]any)
		if !ok {
			return nil
		}
		at = next
	}
	return at
}
