package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
	goyaml "gopkg.in/yaml.v3"
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
		for _, key := range k.Keys() {
			if _, ok := known[key]; !ok {
				problems.unknown(s.File, key, schema)
			}
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

func set(k *koanf.Koanf, f Field, v string) {
	var value any = v
	if f.Type.Kind() == sliceKind {
		value = splitList(v)
	}
	_ = k.Set(f.Key, value) // fails only on an empty key
}

func splitList(v string) []string {
	out := []string{}
	for part := range strings.SplitSeq(strings.Trim(v, "[]"), ",") {
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
		DecodeHook:       mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), mapstructure.StringToSliceHookFunc(",")),
	}})
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

// Write saves c as a commented file at path with mode 0600.
func Write(path string, c Config) error {
	var out strings.Builder
	out.WriteString("# LotaBots node configuration. Every key may also be set by its LOTABOTS_* variable or flag.\n")
	k := toMap(c)
	section := ""
	for _, f := range Schema() {
		name, key, _ := strings.Cut(f.Key, ".")
		if name != section {
			fmt.Fprintf(&out, "\n%s:\n", name)
			section = name
		}
		value, err := goyaml.Marshal(k[f.Key])
		if err != nil {
			return err
		}
		text := strings.TrimSpace(string(value))
		if f.Type.Kind() == sliceKind {
			text = "[" + strings.Join(k[f.Key].([]string), ", ") + "]"
		}
		fmt.Fprintf(&out, "  %s: %s  # %s\n", key, text, f.Help)
	}
	return os.WriteFile(path, []byte(out.String()), 0o600)
}
