package declare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// memory is a cluster's admin API with pages of two.
type memory struct {
	records map[string]map[string]json.RawMessage // path -> record
	models  []string
	writes  []string
	fail    int // the write of this number fails; 0: none
}

func newMemory(docs []Document) *memory {
	m := &memory{records: map[string]map[string]json.RawMessage{}}
	for _, d := range docs {
		kind, _ := kindOf(d.Kind)
		m.put(kind.path+"/"+d.Name, d.Fields)
	}
	return m
}

func (m *memory) put(path string, fields any) {
	raw, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	record := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &record); err != nil {
		panic(err)
	}
	m.records[path] = record
}

func (m *memory) Do(_ context.Context, method, path string, in, out any) error {
	u, err := url.Parse(path)
	if err != nil {
		return err
	}
	if method == "GET" {
		return m.list(u, out)
	}
	m.writes = append(m.writes, method+" "+u.Path)
	if len(m.writes) == m.fail {
		return errors.New("refused")
	}
	if method == "DELETE" {
		delete(m.records, u.Path)
		return nil
	}
	m.put(u.Path, in)
	return nil
}

func (m *memory) list(u *url.URL, out any) error {
	type page struct {
		Data []map[string]json.RawMessage `json:"data"`
		Next string                       `json:"next_cursor"`
	}
	p := page{Data: []map[string]json.RawMessage{}}
	var all []string
	for path := range m.records {
		if name, ok := strings.CutPrefix(path, u.Path+"/"); ok {
			all = append(all, name)
		}
	}
	if u.Path == "/admin/v1/models" {
		all = slices.Clone(m.models)
	}
	slices.Sort(all)
	for _, name := range all {
		if c := u.Query().Get("cursor"); c != "" && name <= c {
			continue
		}
		if len(p.Data) == 2 {
			break
		}
		item := map[string]json.RawMessage{"version": json.RawMessage("7")} // a field that documents do not have
		for k, v := range m.records[u.Path+"/"+name] {
			item[k] = v
		}
		id := "name"
		if strings.HasSuffix(u.Path, "tenants") {
			id = "id"
		}
		item[id], _ = json.Marshal(name)
		p.Data, p.Next = append(p.Data, item), name
	}
	if len(p.Data) == 0 || fmt.Sprint(all[len(all)-1]) == p.Next {
		p.Next = ""
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, out)
}

// TestApplyMakesTheClusterAsDeclared: what is written is the difference alone,
// and afterwards there is none.
func TestApplyMakesTheClusterAsDeclared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, want := anyDocuments(t, "before"), anyDocuments(t, "want")
		want = append(want, rapid.SliceOfDistinct(rapid.SampledFrom(append(before, Document{})), Document.Title).Draw(t, "kept")...)
		want = slices.DeleteFunc(want, func(d Document) bool { return d.Kind == "" })
		slices.SortStableFunc(want, func(a, b Document) int { return strings.Compare(a.Title(), b.Title()) })
		want = slices.CompactFunc(want, func(a, b Document) bool { return a.Title() == b.Title() })
		prune := rapid.Bool().Draw(t, "prune")
		m := newMemory(before)
		have, err := Read(t.Context(), m, false)
		if err != nil {
			t.Fatal(err)
		}
		if sorted := Sort(before); len(have)+len(sorted) > 0 && !reflect.DeepEqual(have, sorted) {
			t.Fatalf("read %v, want %v", have, sorted)
		}
		p := Compare(have, want, prune)
		if err := Write(t.Context(), m, p, func(Change) {}); err != nil {
			t.Fatal(err)
		}
		if len(m.writes) != len(p.Changes) {
			t.Fatalf("%d writes for %d changes", len(m.writes), len(p.Changes))
		}
		after, err := Read(t.Context(), m, false)
		if err != nil {
			t.Fatal(err)
		}
		if p := Compare(after, want, prune); len(p.Changes) > 0 || p.Unchanged != len(want) {
			t.Fatalf("still a difference: %+v", p)
		}
		removed := slices.ContainsFunc(m.writes, func(w string) bool { return strings.HasPrefix(w, "DELETE") })
		if removed && !prune {
			t.Fatal("something was removed without being asked to")
		}
	})
}

func TestPlanReadsWell(t *testing.T) {
	have := parse(t, "kind: deployment\nname: chat\nmodel: tiny\n---\nkind: deployment\nname: old\nmodel: tiny\n---\nkind: tenant\nid: acme\n")
	want := parse(t, "kind: deployment\nname: chat\nmodel: tiny\nreplicas: 3\n---\nkind: setting\nname: colour\nvalue: red\n")
	p := Compare(have, want, true)
	var out bytes.Buffer
	p.Show(&out)
	if got := out.String(); got != "+ setting colour\n    value: \"red\"\n~ deployment chat\n    replicas: 1 -> 3\n- deployment old\n" {
		t.Errorf("got\n%s", got)
	}
	if p.Summary() != "1 to create, 1 to change, 1 to remove, 0 unchanged" || !slices.Equal(p.Left, []string{"tenant acme"}) {
		t.Errorf("%s, left %v", p.Summary(), p.Left)
	}
	if p := Compare(have, want, false); len(p.Changes) != 2 || len(p.Left) != 2 {
		t.Errorf("without prune: %+v", p)
	}
}

func TestVerifyFindsWhatTheClusterLacks(t *testing.T) {
	m := newMemory(nil)
	m.models = []string{"llama-3", "other"}
	want := parse(t, "kind: deployment\nname: a\nmodel: llama-4\n---\nkind: deployment\nname: b\nmodel: other\ntenant: acme\n---\nkind: deployment\nname: c\nmodel: other\ntenant: declared\n---\nkind: tenant\nid: declared\n")
	have := parse(t, "kind: tenant\nid: acmee\n")
	err := Verify(t.Context(), m, Compare(have, want, false), have, want)
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 2 || problems[0].Nearest != "llama-3" || problems[1].Nearest != "acmee" {
		t.Errorf("got %v", err)
	}
	if err := Verify(t.Context(), m, Compare(want, want, false), nil, want); err != nil {
		t.Errorf("what does not change is not looked at: %v", err)
	}
}

func TestWriteTellsHowFarItCame(t *testing.T) {
	m := newMemory(nil)
	m.fail = 2
	want := parse(t, "kind: setting\nname: a\n---\nkind: setting\nname: b\n---\nkind: setting\nname: c\n")
	made := 0
	err := Write(t.Context(), m, Compare(nil, want, false), func(Change) { made++ })
	if err == nil || !strings.Contains(err.Error(), "1 of 3 changes are made; create setting b was not") || made != 1 || len(m.writes) != 2 {
		t.Errorf("%v, %d made, %v", err, made, m.writes)
	}
}
