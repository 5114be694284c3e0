package spec

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// declared are the codes that errors.go declares, by the source: a constant that
// the catalogue lacks cannot be found otherwise.
func declared(t *testing.T) map[Code]bool {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[Code]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if kind, ok := v.Type.(*ast.Ident); !ok || kind.Name != "Code" {
			return true
		}
		text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil || out[Code(text)] {
			t.Errorf("%s = %q: %v, or there twice", v.Names[0], text, err)
		}
		out[Code(text)] = true
		return true
	})
	return out
}

func TestEveryCodeHasItsClass(t *testing.T) {
	codes := declared(t)
	if len(codes) < 30 || len(codes) != len(Catalogue) {
		t.Errorf("%d codes are declared, the catalogue has %d", len(codes), len(Catalogue))
	}
	word := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for code := range codes {
		c, ok := Catalogue[code]
		if !ok {
			t.Errorf("%s has no class", code)
			continue
		}
		if !word.MatchString(string(code)) {
			t.Errorf("%q is no name", code)
		}
		if c.Status < 400 || c.Status > 599 {
			t.Errorf("%s: status %d is none of an error", code, c.Status)
		}
		for _, text := range []string{c.Title, c.Remedy} {
			if len(text) < 5 || !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %q is no sentence", code, text)
			}
		}
		if c != code.Lookup() {
			t.Errorf("%s: Lookup returns another class", code)
		}
	}
	if Code("of a newer build").Lookup() != Catalogue[CodeInternal] {
		t.Error("an unknown code is not internal")
	}
}

// TestStatusesThatClientsGoBy: official clients retry and report by these.
func TestStatusesThatClientsGoBy(t *testing.T) {
	for code, status := range map[Code]int{
		CodeInvalidRequest: 400, CodeMissingKey: 401, CodeInvalidKey: 401, CodeRevokedKey: 401, CodeExpiredKey: 401,
		CodeForbidden: 403, CodeModelForbidden: 403, CodeModelNotFound: 404, CodeNotFound: 404, CodeConflict: 409,
		CodeRateLimited: 429, CodeBusy: 429, CodeInternal: 500, CodeUpstream: 502, CodeNotReady: 503, CodeNoLeader: 503, CodeDeadline: 504,
	} {
		if got := code.Lookup().Status; got != status {
			t.Errorf("%s is %d, want %d", code, got, status)
		}
	}
}

func TestErrorsAreFoundInTheirChain(t *testing.T) {
	cause := errors.New("cause")
	e := fmt.Errorf("context: %w", &Error{Code: CodeBusy, Message: "full", Err: fmt.Errorf("%w: %w", ErrBroken, cause)})
	if CodeOf(e) != CodeBusy || !errors.Is(e, cause) || !errors.Is(e, ErrBroken) {
		t.Errorf("%v has code %s", e, CodeOf(e))
	}
	if CodeOf(cause) != CodeInternal || CodeOf(nil) != CodeInternal {
		t.Error("what has no code is not internal")
	}
	if got := Errorf(CodeBusy, "%d of %d", 1, 2).Error(); got != "no_capacity: 1 of 2" {
		t.Errorf("got %q", got)
	}
	if got := e.Error(); !strings.Contains(got, "no_capacity: full: ") || !strings.HasSuffix(got, "cause") {
		t.Errorf("got %q", got)
	}
}

func TestNodeIDs(t *testing.T) {
	for _, good := range []NodeID{"a", "0", "gpu-rack2-07", NodeID(strings.Repeat("x", 40))} {
		if err := good.Valid(); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []NodeID{"", "-a", "A", "a.b", "a_b", "a b", "a/b", "a\n", "ä", NodeID(strings.Repeat("x", 41))} {
		if bad.Valid() == nil {
			t.Errorf("%q is a node's id", bad)
		}
	}
	for _, r := range []Role{RoleVoter, RoleWorker, RoleGateway} {
		if !ValidRole(r) {
			t.Errorf("%s is no role", r)
		}
	}
	if ValidRole("") || ValidRole("Voter") {
		t.Error("what is no role is one")
	}
}
