package spec

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAbilitiesHaveNames(t *testing.T) {
	all := abilityEnd - 1
	names := all.Names()
	if len(names) != len(abilityNames) || Ability(1)<<len(names) != abilityEnd {
		t.Fatalf("%d names of %b", len(names), all)
	}
	var back Ability
	for i, name := range names {
		if AbilityOf(name) == 0 || slices.Index(names, name) != i {
			t.Errorf("%q is nobody's, or of two", name)
		}
		back |= AbilityOf(name)
	}
	if back != all || AbilityOf("flying") != 0 || (abilityEnd<<3).String() != "" {
		t.Errorf("back %b, want %b", back, all)
	}
	if got := (AbleChat | AbleTools).String(); got != "chat, tools" {
		t.Errorf("%q", got)
	}
}

// TestAbilitiesAreNeverBoth: nothing is possible and impossible, whatever is put together.
func TestAbilitiesAreNeverBoth(t *testing.T) {
	draw := func(t *rapid.T, label string) Abilities {
		can := Ability(rapid.Uint32().Draw(t, label))
		return Abilities{can, Ability(rapid.Uint32().Draw(t, label)) &^ can}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		over, either := a.Over(b), a.Either(b)
		if over.Can&over.Cannot != 0 || either.Can&either.Cannot != 0 {
			t.Fatalf("%v over %v: %v; either: %v", a, b, over, either)
		}
		if over.Can&a.Can != a.Can || over.Cannot&a.Cannot != a.Cannot {
			t.Fatalf("%v over %v lost something: %v", a, b, over)
		}
		if either != b.Either(a) || either.Lacks(a.Can|b.Can) != 0 {
			t.Fatalf("either of %v and %v: %v", a, b, either)
		}
		if unknown := ^(a.Can | a.Cannot); either.Lacks(unknown) != 0 {
			t.Fatalf("%v is not known of %v, and refused with %v", unknown, a, b)
		}
	})
}
