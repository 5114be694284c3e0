package repocheck

import (
	"bytes"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

const (
	catalogueFile = "cluster/spec/errors.go"
	errorsPage    = "node/docs/ERRORS.md"
)

var (
	codeConstant = regexp.MustCompile(`(Code[A-Za-z]+)\s+(?:Code\s+)?= "([a-z_]+)"`)
	codeEntry    = regexp.MustCompile(`(Code[A-Za-z]+):\s*\{(\d+), "([^"]+)", "([^"]+)"\}`)
)

// ErrorsPage renders the catalogue for people; what cannot be rendered is a finding.
func (t *Tree) ErrorsPage() (page string, found []Finding) {
	source := t.files[catalogueFile]
	entries := map[string][][]byte{}
	for _, m := range codeEntry.FindAllSubmatch(source, -1) {
		entries[string(m[1])] = m
	}
	var b strings.Builder
	b.WriteString("# Errors\n\nEvery error carries one of these codes, which never change their meaning.\n" +
		"Made from [the catalogue](../../" + catalogueFile + ") by `go test ./node/internal/repocheck -update`.\n\n" +
		"| code | status | what happened | what to do |\n| --- | --- | --- | --- |\n")
	for _, m := range codeConstant.FindAllSubmatch(source, -1) {
		e, ok := entries[string(m[1])]
		if !ok {
			found = append(found, Finding{"catalogue", catalogueFile, fmt.Sprintf("%s has no entry with status, title and remedy", m[1])})
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m[2], e[2], e[3], e[4])
	}
	return b.String(), found
}

// catalogue checks that each public code has an entry and that the page tells it.
func (t *Tree) catalogue() []Finding {
	if _, ok := t.files[catalogueFile]; !ok {
		return nil
	}
	page, found := t.ErrorsPage()
	if page != string(t.files[errorsPage]) {
		found = append(found, Finding{"catalogue", errorsPage, "does not tell what the catalogue says: run go test ./node/internal/repocheck -update"})
	}
	return found
}

// The parts are put together here so that this file does not find itself.
var traces = map[string]*regexp.Regexp{
	"names a folder of somebody's machine": regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])/(work|home/[a-z]|Users/[A-Za-z]|root/)` + `[/\w.-]*`),
	"names a registry's host":              regexp.MustCompile(`(?i)\b(proxy\.golang` + `\.org|registry\.npmjs` + `\.org|files\.pythonhosted` + `\.org|pypi` + `\.org|deb\.debian` + `\.org|crates` + `\.io|repo\.maven` + `\.apache\.org|goproxy\.[a-z]+)\b`),
}

// traces finds what only one machine can know.
func (t *Tree) traces() []Finding {
	var found []Finding
	for name, raw := range t.files {
		if !isText(raw) || name == "go.sum" || within(name, "node/internal/repocheck") {
			continue
		}
		for text, pattern := range traces {
			if at := pattern.FindIndex(raw); at != nil {
				line := bytes.Count(raw[:at[0]], []byte("\n")) + 1
				found = append(found, Finding{"traces", fmt.Sprintf("%s:%d", name, line), fmt.Sprintf("%s (%s): say it without", text, strings.TrimSpace(string(raw[at[0]:at[1]])))})
			}
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Path < found[j].Path })
	return found
}

func isText(raw []byte) bool {
	head := raw[:min(len(raw), 4096)]
	return bytes.IndexByte(head, 0) < 0 && (utf8.Valid(head) || len(head) == 4096)
}
