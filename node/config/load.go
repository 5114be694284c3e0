package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Sources are where a configuration is read from, besides the defaults.
type Sources struct {
	File  string // path; empty: none
	Env   func(string) (string, bool)
	Flags *pflag.FlagSet // only flags that were given count
}

// Load reads all sources and validates the result. Its error is a *Problems
// that lists everything wrong at once.
func Load(s Sources) (Config, error) {
	c := Default()
	var problems Problems
	k := koanf.New(".")
	schema := Schema()
	known := map[string]Field{}
	for _, f := range schema {
		known[f.Key] = f
	}
	if s.File != "" {
		if err := k.Load(file.Provider(s.File), yaml.Parser()); err != nil {
			return c, fmt.Errorf("configuration file %s: %w", s.File, err)
		}
		for _, key := range written(k.Raw(), "", known) {
			problems.unknown(s.File, key, schema)
		}
	}
	for _, f := range schema {
		if s.Env != nil {
			if v, ok := s.Env(f.Env); ok {
				set(k, f, v)
			}
		}
		if s.Flags != nil {
			if flag := s.Flags.Lookup(f.Flag); flag != nil && flag.Changed {
				set(k, f, flag.Value.String())
			}
		}
	}
	if err := decode(k, &c); err != nil {
		for _, e := range unjoin(err) {
			problems.add(Problem{Reason: e.Error()})
		}
	}
	problems.check(c)
	if len(problems) > 0 {
		return c, problems
	}
	return c, nil
}

// written lists the keys of a file that are unknown. It looks at the nesting
// itself: to koanf, a dotted key and a nested one are the same, but only the
// nested one is decoded.
func written(m map[string]any, prefix string, known map[string]Field) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		key := prefix + name
		_, ok := known[key]
		deeper, nested := m[name].(map[string]any)
		switch {
		case strings.Contains(name, "."), !ok && !isSection(key, known):
			out = append(out, key)
		case nested && !ok:
			out = append(out, written(deeper, key+".", known)...)
		case !ok && m[name] != nil: // a section must have keys, or nothing at all
			out = append(out, key)
		}
	}
	return out
}

func isSection(key string, known map[string]Field) bool {
	for k := range known {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

func set(k *koanf.Koanf, f Field, v string) {
	var value any = v
	if f.Type.Kind() == sliceKind {
		value = splitList(v)
	}
	_ = k.Set(f.Key, value) // fails only on an empty key
}

func splitList(v string) []string {
	out := []string{}
	if strings.HasPrefix(v, "[") && strings.HasSuffix(v, "]") { // [::1]:7946 is no list in brackets
		v = v[1 : len(v)-1]
	}
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func decode(k *koanf.Koanf, c *Config) error {
	return k.UnmarshalWithConf("", c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result:           c,
		TagName:          "koanf",
		WeaklyTypedInput: true,
		DecodeHook:       mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), stringToList),
	}})
}

// stringToList reads a list that the file has as one string as a flag would be.
func stringToList(from, to reflect.Type, v any) (any, error) {
	if from.Kind() != reflect.String || to.Kind() != sliceKind {
		return v, nil
	}
	return splitList(v.(string)), nil
}

func unjoin(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}

// AddFlags declares one flag per key on fs. Their values are read by Load.
func AddFlags(fs *pflag.FlagSet) {
	for _, f := range Schema() {
		if fs.Lookup(f.Flag) == nil {
			fs.String(f.Flag, "", f.Help+" ("+f.Env+")")
		}
	}
}
