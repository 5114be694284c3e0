package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
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

// The sources of a value, see Effective.
const (
	FromDefault = "default"
	FromFile    = "file"        // followed by its path
	FromEnv     = "environment" // followed by the variable's name
	FromFlag    = "flag"        // followed by its name
)

// Load reads every source and checks the whole. On a bad configuration the error
// is Problems.
func Load(s Sources) (Config, error) {
	c, _, err := read(s)
	return c, err
}

// read is Load, and tells each key's source.
func read(s Sources) (Config, map[string]string, error) {
	c, k, origin := Default(), koanf.New("."), map[string]string{}
	var problems Problems
	schema := Schema()
	known := map[string]Field{}
	for _, f := range schema {
		known[f.Key], origin[f.Key] = f, FromDefault
	}
	if s.File != "" {
		if err := k.Load(file.Provider(s.File), yaml.Parser()); err != nil {
			return c, origin, fmt.Errorf("configuration file %s: %w", s.File, err)
		}
		raw, err := os.ReadFile(s.File)
		if err != nil {
			return c, origin, fmt.Errorf("configuration file %s: %w", s.File, err)
		}
		problems.documents(s.File, raw)
		for _, key := range written(k.Raw(), "", known) {
			problems.unknown(s.File, key, schema)
		}
	}
	for _, f := range schema {
		if k.Get(f.Key) != nil {
			origin[f.Key] = FromFile + " " + s.File
		}
		if s.Env != nil {
			if v, ok := s.Env(f.Env); ok {
				set(k, f, v)
				origin[f.Key] = FromEnv + " " + f.Env
			}
		}
		if s.Flags != nil {
			if flag := s.Flags.Lookup(f.Flag); flag != nil && flag.Changed {
				set(k, f, flag.Value.String())
				origin[f.Key] = FromFlag + " --" + f.Flag
			}
		}
	}
	if err := decode(k, &c); err != nil {
		for _, e := range unjoin(err) {
			problems.unread(e, k, known, origin)
		}
	}
	problems.check(c, origin)
	if len(problems) > 0 {
		return c, origin, problems
	}
	return c, origin, nil
}

// unread adds a value that could not be read as its key's type.
func (p *Problems) unread(err error, k *koanf.Koanf, known map[string]Field, origin map[string]string) {
	var at *mapstructure.DecodeError
	if !errors.As(err, &at) {
		p.add(Problem{Reason: err.Error(), Unread: true})
		return
	}
	key, _, _ := strings.Cut(at.Name(), "[") // of a list's entry
	f, ok := known[key]
	if !ok {
		p.add(Problem{Key: key, Reason: err.Error(), Unread: true})
		return
	}
	if f.Type == presetsType { // its text may have secrets in it, and is long
		p.add(Problem{Key: key, Source: origin[key], Example: f.Example, Unread: true, Reason: key + ": " + at.Unwrap().Error()})
		return
	}
	p.add(Problem{Key: key, Value: fmt.Sprint(public(k.Get(key))), Source: origin[key], Example: f.Example, Unread: true,
		Reason: fmt.Sprintf("%s = %q: want a value of the type %s", key, fmt.Sprint(public(k.Get(key))), f.Kind())})
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
	if f.Type.Kind() == sliceKind && f.Type != presetsType {
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
		DecodeHook:       mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), toPresets, stringToList),
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
