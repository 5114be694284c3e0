package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	goyaml "gopkg.in/yaml.v3"

	"github.com/lotabots/lotabots/actors/engine/custom"
	"github.com/lotabots/lotabots/cluster/spec/whole"
)

// Write saves c as a commented file at path with mode 0600, whole or not at all.
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
		text, err := onOneLine(k[f.Key])
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "  %s: %s  # %s\n", key, text, f.Help)
	}
	return whole.Write(path, []byte(out.String()))
}

// Text is the value of a key as a file has it, on one line.
func Text(v any) string {
	s, err := onOneLine(v)
	if err != nil {
		return fmt.Sprint(v) // not reached: every type of the schema can be written
	}
	return s
}

// onOneLine is v in YAML's flow style, so that a comment may follow.
func onOneLine(v any) (string, error) {
	switch v := v.(type) {
	case string:
		if strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return strconv.QuoteToASCII(v), nil // Go's escapes are YAML's as well
		}
	case []custom.Preset:
		return custom.Text(v), nil
	case []string:
		parts := make([]string, len(v))
		for i, part := range v {
			parts[i] = part
			if !plain.MatchString(part) {
				parts[i] = strconv.QuoteToASCII(part)
			}
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	}
	raw, err := goyaml.Marshal(v)
	return strings.TrimSpace(string(raw)), err
}

// plain matches what is a string in a list of YAML's without quotes: roles,
// addresses and URLs, but no number, and no word such as true but the roles.
var plain = regexp.MustCompile(`^(voter|worker|gateway|[a-z][a-z0-9.-]*:[0-9]+|[0-9]+(\.[0-9]+){3}:[0-9]+|https?://[a-z0-9./:-]*[a-z0-9/])$`)
