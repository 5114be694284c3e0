package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Of a file, the parser reads the first document. The others would be ignored
// without a word, so they are a problem, unless they are empty.
func (p *Problems) documents(source string, raw []byte) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	for first := true; ; first = false {
		var n yaml.Node
		err := dec.Decode(&n)
		switch {
		case errors.Is(err, io.EOF), err != nil && first: // which the parser tells of
			return
		case err != nil:
			p.add(Problem{Source: source, Reason: "has a second document, which is no YAML and would be ignored: " + strings.TrimPrefix(err.Error(), "yaml: "), Unread: true})
			return
		case !first && len(n.Content) == 1 && n.Content[0].Tag != "!!null":
			p.add(Problem{Source: source, Reason: fmt.Sprintf("has a second document, at line %d, which would be ignored: the file may have one", n.Content[0].Line), Unread: true})
			return
		}
	}
}

const envPrefix = "LOTABOTS_"

// otherEnv are the variables that are no key's: those of the commands, of chaos
// runs and of the tests, whose nodes inherit them.
var otherEnv = []string{
	"LOTABOTS_CONTEXT", "LOTABOTS_ENDPOINT", "LOTABOTS_API_KEY", "LOTABOTS_JOIN_TOKEN", "LOTABOTS_LLAMA_LIB",
	"LOTABOTS_CHAOS_ALLOW", "LOTABOTS_SYSTEM", "LOTABOTS_SYSTEM_REPORT", "LOTABOTS_RESUME", "LOTABOTS_MODELS", "LOTABOTS_FIVE", "LOTABOTS_SOAK", "LOTABOTS_CRASHES", "LOTABOTS_BIN",
	"LOTABOTS_ENGINE_SHIM", "LOTABOTS_ACTORS_TEST", "LOTABOTS_ENGINE_TEST", "LOTABOTS_GOSSIP_TEST_SEED", "LOTABOTS_SNAPSHOT_TEST_DIR", "LOTABOTS_TEST_OLLAMA", "LOTABOTS_TEST_LLAMA_SERVER", "LOTABOTS_TEST_LLAMA_CPP_PYTHON", "LOTABOTS_TEST_CYCLES", "LOTABOTS_CONTRACT_SEED", "LOTABOTS_CONTRACT", "LOTABOTS_TEST_CLIENTS",
	"LOTABOTS_MODE", "LOTABOTS_RECORD", "LOTABOTS_ADMIN_KEY",
}

// linked are variables that container platforms make of a service named lotabots.
var linked = regexp.MustCompile(`^LOTABOTS_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_.+)?)?)$`)

// UnknownEnv lists the variables of an environment (entries name=value) that
// look like this program's and are none. A node runs in spite of them: they may be
// another build's. Their values, which may be secret, are not told.
func UnknownEnv(environ []string) Problems {
	known := slices.Concat(otherEnv, brokenEnv)
	for _, f := range Schema() {
		known = append(known, f.Env)
	}
	var out Problems
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) || linked.MatchString(name) {
			continue
		}
		out.add(Problem{Key: name, Source: FromEnv, Reason: fmt.Sprintf("there is no variable %s", name), Nearest: Nearest(name, known), Unread: true})
	}
	slices.SortFunc(out, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) })
	return out
}
