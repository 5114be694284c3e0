package repocheck

import (
	"fmt"
	"strings"
)

// rooms never import each other but for what they share.
var (
	rooms  = []string{"gateway", "actors", "cluster", "storage"}
	shared = []string{"cluster/spec", "cluster/wire"}
)

// owners says in which folders a module may be imported.
var owners = []struct {
	module string
	in     []string
	mend   string
}{
	{"github.com/valyala/fasthttp", []string{"gateway", "node/bench"}, "serve by net/http, or move it into the gateway"},
	{"github.com/fasthttp/router", []string{"gateway"}, "serve by net/http, or move it into the gateway"},
	{"github.com/asynkron/protoactor-go", []string{"actors"}, "ask the actors through a seam that node/ joins"},
	{"github.com/hashicorp/memberlist", []string{"cluster"}, "ask cluster/gossip through a seam"},
	{"github.com/hashicorp/raft", []string{"cluster", "storage"}, "ask cluster/consensus through a seam"},
	{"github.com/cockroachdb/pebble", []string{"storage"}, "keep records through storage"},
	{"github.com/NVIDIA/go-nvml", []string{"actors", "node/cmd/lotabots-engine"}, "ask the device interface"},
}

func (t *Tree) imports() []Finding {
	var found []Finding
	for _, f := range t.goes {
		for _, imported := range importsOf(f) {
			if text := forbidden(f.path, imported); text != "" {
				found = append(found, Finding{"imports", f.path, text})
			}
		}
	}
	return found
}

// forbidden says why the file may not import this, or "".
func forbidden(file, imported string) string {
	if inner, ours := strings.CutPrefix(imported, Module+"/"); ours {
		return forbiddenInside(file, inner)
	}
	for _, o := range owners {
		if !within(imported, o.module) || withinAny(file, o.in) {
			continue
		}
		return fmt.Sprintf("imports %s, which only %s may: %s", imported, strings.Join(o.in, " and "), o.mend)
	}
	return ""
}

func forbiddenInside(file, inner string) string {
	from, to := room(file), room(inner+"/")
	if from == to || withinAny(inner, shared) {
		return ""
	}
	isRoom := func(s string) bool { return withinAny(s, rooms) }
	switch {
	case isRoom(from) && isRoom(to):
		return fmt.Sprintf("imports %s: rooms never import each other; declare an interface here and join it in node/", inner)
	case isRoom(from) && (to == "node" || to == "chaos"):
		return fmt.Sprintf("imports %s: what assembles or breaks the rooms is not known to them", inner)
	case from == "chaos" && isRoom(to):
		return fmt.Sprintf("imports %s: chaos drives processes from outside; it knows node/dev and node/client", inner)
	case from == "node" && to == "chaos" && !within(file, "node/cmd") && !within(file, "node/bench"):
		return fmt.Sprintf("imports %s: only the command and the benchmark know chaos", inner)
	}
	return ""
}

func withinAny(name string, dirs []string) bool {
	for _, d := range dirs {
		if within(name, d) {
			return true
		}
	}
	return false
}
