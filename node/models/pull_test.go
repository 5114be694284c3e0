package models

import (
	"net/url"
	"os"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestAPullWhoseFileIsHereAsksNobody: the node went down before the state knew the model.
func TestAPullWhoseFileIsHereAsksNobody(t *testing.T) {
	s := newSet(t, "n1")
	m := s.give("n1", "m")
	s.see("n1", View{})
	k := s.all["n1"]
	got, err := k.cameBefore(t.Context(), &pull{name: "m", url: &url.URL{}, digest: m.GetDigest()})
	if err != nil || !proto.Equal(got, m) {
		t.Fatalf("the record is %v, %v", got, err)
	}
	p := &pull{name: "m", url: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, digest: m.GetDigest()}
	if got, err = k.bring(t.Context(), p); err != nil || !proto.Equal(got, m) {
		t.Errorf("pulled: %v, %v", got, err)
	}
	if p.hold == nil {
		t.Error("the file may go before the state knows it")
	}
	other := slices.Clone(m.GetDigest())
	other[0] ^= 1
	if got, err = k.cameBefore(t.Context(), &pull{name: "o", digest: other}); got != nil || err != nil {
		t.Errorf("what is not here: %v, %v", got, err)
	}
	path, _ := s.store["n1"].Path(m.GetDigest())
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(){"a byte": func() { raw[100] ^= 1 }, "no model": func() { raw[0] ^= 1 }} {
		s.give("n1", "m")
		spoil()
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.store["n1"].Record(t.Context(), "m", m.GetDigest()); spec.CodeOf(err) != spec.CodeModelDamaged || s.store["n1"].Has(m.GetDigest()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
