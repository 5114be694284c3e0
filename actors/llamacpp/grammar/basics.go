package grammar

import (
	"maps"
	"slices"
)

// basics are the rules that every grammar may use; those that it does not use are left out.
var basics = rules{
	"ws": alt{literal(""), literal(" "), seq{literal("\n"), rep{class(" "), 0, 20}}},
	// a surrogate is never written alone, so a character is one of the schema's lengths
	"char": alt{
		class(`^"\\\x7F\x00-\x1F`),
		seq{literal(`\`), alt{class(`"\\/bfnrt`), seq{literal("u"), alt{
			seq{class("0-9a-cefA-CEF"), rep{ref("hex"), 3, 3}},
			seq{class("dD"), class("0-7"), rep{ref("hex"), 2, 2}},
		}}}},
	},
	"hex":     class("0-9a-fA-F"),
	"string":  seq{literal(`"`), rep{ref("char"), 0, -1}, literal(`"`)},
	"whole":   alt{literal("0"), seq{class("1-9"), rep{class("0-9"), 0, 15}}},
	"integer": seq{optional(literal("-")), ref("whole")},
	"number": seq{
		ref("integer"), optional(seq{literal("."), rep{class("0-9"), 1, 16}}),
		optional(seq{class("eE"), optional(class(`+\-`)), class("0-9"), optional(class("0-9"))}),
	},
	"boolean": alt{literal("true"), literal("false")},
	"null":    literal("null"),
	"value":   alt{ref("object"), ref("array"), ref("string"), ref("number"), ref("boolean"), ref("null")},
	"object":  braces(optional(listOf(member(ref("string"), ref("value"))))),
	"array":   brackets(optional(listOf(ref("value")))),

	"date": seq{
		rep{class("0-9"), 4, 4}, literal("-"),
		alt{seq{literal("0"), class("1-9")}, seq{literal("1"), class("0-2")}}, literal("-"),
		alt{seq{literal("0"), class("1-9")}, seq{literal("1"), class("0-9")}, seq{literal("2"), class("0-8")}},
	},
	"clock": seq{ref("hour"), literal(":"), ref("sixty"), literal(":"), ref("sixty"), optional(seq{literal("."), rep{class("0-9"), 1, 9}}), ref("zone")},
	"hour":  alt{seq{class("01"), class("0-9")}, seq{literal("2"), class("0-3")}},
	"sixty": seq{class("0-5"), class("0-9")},
	"zone":  alt{literal("Z"), seq{class(`+\-`), ref("hour"), literal(":"), ref("sixty")}},
	"uuid":  seq{ref("hex8"), literal("-"), ref("hex4"), literal("-"), ref("hex4"), literal("-"), ref("hex4"), literal("-"), ref("hex8"), ref("hex4")},
	"hex4":  rep{ref("hex"), 4, 4},
	"hex8":  rep{ref("hex"), 8, 8},
}

// formats are those of strings. A date has no day after the 28th: which months have more is no grammar's.
var formats = map[string]node{
	"date": ref("date"), "time": ref("clock"), "date-time": seq{ref("date"), literal("T"), ref("clock")}, "uuid": ref("uuid"),
}

func quoted(n node) node { return seq{literal(`"`), n, literal(`"`)} }

func member(key, value node) node { return seq{key, literal(":"), ref("ws"), value} }

func comma(n node) node { return seq{literal(","), ref("ws"), n} }

func listOf(n node) node { return seq{n, rep{comma(n), 0, -1}} }

func braces(n node) node { return seq{literal("{"), ref("ws"), n, ref("ws"), literal("}")} }

func brackets(n node) node { return seq{literal("["), ref("ws"), n, ref("ws"), literal("]")} }

// complete adds to r those of the basic rules that it needs.
func (r rules) complete() {
	var need func(n node)
	need = func(n node) {
		switch n := n.(type) {
		case ref:
			if b, ok := basics[string(n)]; ok && r[string(n)] == nil {
				r[string(n)] = b
				need(b)
			}
		case seq:
			for _, m := range n {
				need(m)
			}
		case alt:
			for _, m := range n {
				need(m)
			}
		case rep:
			need(n.item)
		}
	}
	for _, name := range sortedNames(r) {
		need(r[name])
	}
}

// sortedNames has root first.
func sortedNames(r rules) []string {
	names := slices.Sorted(maps.Keys(r))
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case a == "root":
			return -1
		case b == "root":
			return 1
		}
		return 0
	})
	return names
}

// Object is the grammar of any JSON object.
func Object() string {
	r := rules{"root": ref("object")}
	r.complete()
	return r.String()
}
