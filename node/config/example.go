package config

import (
	"fmt"
	"strings"
)

// exampleID stands in the example for the one key that has no default.
const exampleID = "node-1"

// Example is a file with every key at its default, each with what it does and
// how else it may be set. node/examples/node.yaml is its text.
func Example() string {
	c := Default()
	c.Node.ID = exampleID
	values := toMap(c)
	var out strings.Builder
	out.WriteString(`# A LotaBots node's configuration, with every key at its default but node.id, which has none.
# Later sources win: the defaults, this file, LOTABOTS_* variables, flags.
#   lotabots config check --file node.yaml   finds everything that is wrong with it
#   lotabots config show --data DIR          tells what is in force, and from where
# A key marked "reload" is taken over by a running node at SIGHUP, or by lotabots node reload; the others need a restart.
`)
	section := ""
	for _, f := range Schema() {
		name, key, _ := strings.Cut(f.Key, ".")
		if name != section {
			fmt.Fprintf(&out, "\n%s:\n", name)
			section = name
		}
		reload := ""
		if f.Reload {
			reload = "; reload"
		}
		fmt.Fprintf(&out, "  # %s.\n  # (%s, such as %s; --%s, %s%s)\n  %s: %s\n", f.Help, f.Kind(), f.Example, f.Flag, f.Env, reload, key, Text(values[f.Key]))
	}
	return out.String()
}
