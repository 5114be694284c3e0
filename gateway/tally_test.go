package gateway

import (
	"testing"

	"github.com/lotabots/lotabots/gateway/auth"
)

// TestUses: of each key's uses the last is told, to a second, once.
func TestUses(t *testing.T) {
	var u uses
	one, again, other := &auth.Principal{Key: "a"}, &auth.Principal{Key: "a"}, &auth.Principal{Key: "b"}
	for _, use := range []struct {
		who *auth.Principal
		at  int64
	}{{one, 5000}, {again, 9000}, {other, 7000}, {one, 5500}, {other, 7900}, {other, 8500}, {&auth.Principal{Key: "c", Session: "s"}, 9000}} {
		u.used(use.who, use.at)
	}
	got := u.take()
	if len(got) != 2 || got[0].GetId() != "a" || got[0].GetAtMs() != 9000 || got[1].GetId() != "b" || got[1].GetAtMs() != 8500 {
		t.Errorf("%v", got)
	}
	if got := u.take(); len(got) != 0 {
		t.Errorf("%v again", got)
	}
	if u.used(one, 7000); len(u.take()) != 1 {
		t.Error("a use after that is not told")
	}
}
