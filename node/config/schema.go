package config

import (
	"reflect"
	"strings"
)

// A Field describes one key of the configuration.
type Field struct {
	Key     string // dotted, such as cluster.listen
	Flag    string // without dashes in front, such as cluster-listen
	Env     string // LOTABOTS_CLUSTER_LISTEN
	Help    string
	Example string
	Type    reflect.Type
}

// Schema lists every key in the order of the struct.
func Schema() []Field {
	var out []Field
	walk(reflect.TypeFor[Config](), "", &out)
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
			Type:    f.Type,
		})
	}
}

// nearest returns the known key closest to key, or "" if none is close.
func nearest(key string, known []Field) string {
	best, bestDistance := "", 4
	for _, f := range known {
		if d := distance(key, f.Key); d < bestDistance {
			best, bestDistance = f.Key, d
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
