package chat

import (
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// A Rename is what a client's API calls a field of chat completions, and what is below
// it: [] in Chat stands for any index, which comes again in Client. Under a Whole one
// what is below has no name of the client's.
type Rename struct {
	Chat, Client string
	Whole        bool
}

// Param is the client's name for a field of chat completions, by the first of names that
// has it; without one it is the same.
func Param(names []Rename, param string) string {
	param = openai.BracketParam(param)
	for _, n := range names {
		index, rest, ok := below(param, n.Chat)
		switch {
		case !ok:
		case n.Whole:
			return n.Client
		default:
			return strings.Replace(n.Client, "[]", index, 1) + rest
		}
	}
	return param
}

// below tells whether param is the field or lies below it, by which index and where.
func below(param, field string) (index, rest string, ok bool) {
	head, tail, indexed := strings.Cut(field, "[]")
	if rest, ok = strings.CutPrefix(param, head); ok && indexed {
		end := strings.IndexByte(rest, ']') + 1
		if end == 0 || rest[0] != '[' {
			return "", "", false
		}
		index = rest[:end]
		rest, ok = strings.CutPrefix(rest[end:], tail)
	}
	return index, rest, ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Renamed is e about the fields that the client knows, in its message too where that
// begins with the field or has its way in it.
func Renamed(names []Rename, e *spec.Error) *spec.Error {
	param := Param(names, e.Param)
	if e.Param == "" || param == e.Param {
		return e
	}
	told := *e
	told.Param, told.Err = param, e
	if strings.ContainsAny(e.Param, ".[") {
		told.Message = strings.ReplaceAll(e.Message, e.Param, param)
	} else if rest, ok := strings.CutPrefix(e.Message, e.Param+" "); ok {
		told.Message = param + " " + rest
	}
	return &told
}
