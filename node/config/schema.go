package config

import (
	"reflect"
	"strings"
	"time"
)

// A Field describes one key of the configuration.
type Field struct {
	Key     string // dotted, such as cluster.listen
	Flag    string // without dashes in front, such as cluster-listen
	Env     string // LOTABOTS_CLUSTER_LISTEN
	Help    string
	Example string
	Type    reflect.Type
	Default string // as the file would have it
	Reload  bool   // a running node takes a change, see Reloadable
}

// Kind names the type for people: string, list, integer, number, duration or boolean.
func (f Field) Kind() string {
	switch {
	case f.Type == reflect.TypeFor[time.Duration]():
		return "duration"
	case f.Type.Kind() == reflect.Slice:
		return "list"
	case f.Type.Kind() == reflect.Int:
		return "integer"
	case f.Type.Kind() == reflect.Float64:
		return "number"
	case f.Type.Kind() == reflect.Bool:
		return "boolean"
	}
	return "string"
}

// Schema lists every key in the order of the struct.
func Schema() []Field {
	var out []Field
	walk(reflect.TypeFor[Config](), "", &out)
	defaults := toMap(Default())
	for i := range out {
		out[i].Default = Text(defaults[out[i].Key])
	}
	return out
}

func walk(t reflect.Type, prefix string, out *[]Field) {
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("koanf")
		if f.Type.Kind() == reflect.Struct {
			walk(f.Type, key+".", out)
			continue
		}
		dashed := strings.ReplaceAll(key, ".", "-")
		*out = append(*out, Field{
			Key:     key,
			Flag:    strings.TrimPrefix(dashed, "node-"),
			Env:     "LOTABOTS_" + strings.ToUpper(strings.ReplaceAll(dashed, "-", "_")),
			Help:    f.Tag.Get("help"),
			Example: f.Tag.Get("example"),
			Reload:  f.Tag.Get("reload") == "yes",
			Type:    f.Type,
		})
	}
}

// Nearest returns the one of known that name was probably meant to be, or "" if
// none is close.
func Nearest(name string, known []string) string {
	best, bestDistance := "", min(4, len(name)) // nothing is close to a name of one or two letters
	for _, k := range known {
		if d := distance(name, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
