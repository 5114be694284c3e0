package chaos

import (
	"testing"
	"time"
)

func what(kind string, o Op) Op { o.What = kind; return o }

// TestAccessIsJudged: the first history could be, each of the others not.
func TestAccessIsJudged(t *testing.T) {
	key := func(o Op) Op { return what(whatKey, o) }
	session := func(o Op) Op { return what(whatSession, o) }
	binding := func(o Op) Op { return what(whatBinding, o) }
	made, login := key(valued(op(OpCreate, "n1", "k", Done, 0, 5), "a/0")), session(valued(op(OpCreate, "n1", "s", Done, 0, 5), "u"))
	bound := binding(valued(op(OpCreate, "n1", "u r", Done, 0, 5), "b1"))
	sound := []Op{
		made, login, bound,
		by(1, key(valued(op(OpChange, "n1", "k", Done, 10, 30), "name=b"))),
		by(2, key(valued(op(OpChange, "n2", "k", Done, 10, 30), "limit=7"))),
		by(3, key(valued(op(OpChange, "n2", "k", Unknown, 10, 31), "name=c"))),
		key(valued(op(OpRead, "n3", "k", Live, 40, 41), "b/7")),
		key(valued(op(OpRead, "n3", "k", Live, 50, 51), "c/7")), // it came through at last
		key(op(OpRevoke, "n3", "k", Done, 60, 61)), key(op(OpRevoke, "n3", "k", Done, 62, 63)),
		key(valued(op(OpChange, "n1", "k", Refused, 64, 65), "name=d")), key(op(OpRead, "n3", "k", Revoked, 66, 67)),
		session(op(OpRefresh, "n1", "s", Done, 10, 11)), session(op(OpRead, "n1", "s", Live, 12, 13)),
		session(coded(op(OpReuse, "n1", "s", Revoked, 14, 15), "refresh_token_reused")),
		session(coded(op(OpRefresh, "n1", "s", Revoked, 16, 17), "session_ended")), session(op(OpRead, "n1", "s", Absent, 18, 19)), // forgotten
		session(op(OpRevoke, "n1", "s", Absent, 20, 21)),
		session(valued(op(OpCreate, "n1", "s2", Done, 0, 5), "u")), by(1, session(op(OpEndAll, "n1", "u", Done, 22, 23))), session(op(OpRead, "n1", "s2", Revoked, 24, 25)),
		session(valued(op(OpCreate, "n1", "s3", Done, 0, 5), "v")), by(6, session(op(OpRefresh, "n1", "s3", Unknown, 10, 20))), session(op(OpRefresh, "n2", "s3", Done, 21, 22)),
		session(op(OpRefresh, "n2", "s3", Done, 23, 24)), session(op(OpRead, "n2", "s3", Revoked, 25, 26)), // the unanswered one came late
		binding(valued(op(OpCreate, "n1", "u r", Done, 10, 11), "b1")), // has it already
		binding(valued(op(OpRevoke, "n1", "u r", Done, 12, 13), "b1")), binding(op(OpRead, "n1", "u r", Done, 14, 15)),
		by(5, binding(op(OpCreate, "n1", "u r", Unknown, 16, 17))), binding(valued(op(OpRead, "n1", "u r", Done, 18, 19), "b2")),
		binding(valued(op(OpRevoke, "n1", "u r", Absent, 20, 21), "b1")),
	}
	if v := checkAccess(&Evidence{Ops: sound}); len(v.Violations) != 0 || v.Looked != 32 {
		t.Errorf("looked at %d: %s", v.Looked, breaches(v))
	}
	for name, history := range map[string][]Op{
		"a change that is taken back": {made, key(valued(op(OpChange, "n1", "k", Done, 10, 11), "limit=7")), key(valued(op(OpChange, "n1", "k", Done, 20, 21), "name=b")), key(valued(op(OpRead, "n1", "k", Live, 30, 31), "b/0"))},
		"a change after the end":      {made, key(op(OpRevoke, "n1", "k", Done, 10, 11)), key(valued(op(OpChange, "n1", "k", Done, 20, 21), "name=b"))},
		"a key back from the dead":    {made, key(op(OpRevoke, "n1", "k", Done, 10, 11)), key(valued(op(OpRead, "n1", "k", Live, 20, 21), "a/0"))},
		"no such key, though":         {made, key(op(OpRevoke, "n1", "k", Absent, 10, 11))},
		"a session back":              {login, session(op(OpRevoke, "n1", "s", Done, 10, 11)), session(op(OpRefresh, "n1", "s", Done, 20, 21))},
		"a token twice":               {login, session(op(OpReuse, "n1", "s", Done, 10, 11))},
		"ended by nobody":             {login, session(coded(op(OpRefresh, "n1", "s", Revoked, 10, 11), "session_ended"))},
		"re-used, and in force":       {login, session(coded(op(OpReuse, "n1", "s", Revoked, 10, 11), "refresh_token_reused")), session(op(OpRead, "n1", "s", Live, 20, 21))},
		"one of all goes on":          {login, session(op(OpEndAll, "n1", "u", Done, 10, 11)), session(op(OpRead, "n1", "s", Live, 20, 21))},
		"a role still there":          {bound, binding(valued(op(OpRevoke, "n1", "u r", Done, 10, 11), "b1")), binding(valued(op(OpRead, "n1", "u r", Done, 20, 21), "b1"))},
		"a role twice":                {bound, binding(valued(op(OpCreate, "n1", "u r", Done, 10, 11), "b2"))},
		"no such binding, though":     {bound, binding(valued(op(OpRevoke, "n1", "u r", Absent, 10, 11), "b1"))},
	} {
		if v := checkAccess(&Evidence{Ops: history}); len(v.Violations) != 1 {
			t.Errorf("%s: %s", name, breaches(v))
		}
	}
}

func heldFor(kind Kind, node, detail string, begin, end int) Op {
	return Op{Op: OpHeld, Kind: kind, Node: node, Detail: detail, Begin: ms(begin), End: ms(end), Result: Done}
}

// TestWhatWasTakenAwayIsShut: who may still be let in, and who may not.
func TestWhatWasTakenAwayIsShut(t *testing.T) {
	use := func(kind, node, key, result string, begin, end int) Op {
		return what(kind, op(OpUse, node, key, result, begin, end))
	}
	revoke := what(whatKey, op(OpRevoke, "n1", "k", Done, 1000, 1100))
	revoke.Closing = closings{"n3": ms(4000), "n4": ms(9000)}
	reuse := what(whatSession, coded(op(OpReuse, "n1", "s", Revoked, 1000, 1100), "refresh_token_reused"))
	unbind := what(whatBinding, valued(op(OpRevoke, "n1", "u r", Done, 1000, 1100), "b"))
	all := []Op{what(whatSession, valued(op(OpCreate, "n1", "t", Done, 0, 5), "u")), what(whatSession, op(OpEndAll, "n1", "u", Done, 1000, 1100))}
	rebind := what(whatBinding, valued(op(OpCreate, "n1", "u r", Done, 1500, 1600), "c"))
	for name, c := range map[string]struct {
		ops    []Op
		looked int
		wrong  int
	}{
		"before the answer":                    {[]Op{revoke, use(whatKey, "n2", "k", Live, 1050, 1060)}, 0, 0},
		"asked before it, and told after":      {[]Op{revoke, use(whatKey, "n2", "k", Live, 1099, 1300)}, 0, 0},
		"a node that was not named":            {[]Op{revoke, use(whatKey, "n2", "k", Live, 1101, 1300)}, 1, 1},
		"refused":                              {[]Op{revoke, use(whatKey, "n2", "k", Revoked, 1101, 1300), use(whatKey, "n2", "k", Closed, 9000, 9300)}, 2, 0},
		"a node that was named":                {[]Op{revoke, use(whatKey, "n3", "k", Live, 3900, 4300)}, 1, 0},
		"a node that was named, too late":      {[]Op{revoke, use(whatKey, "n3", "k", Live, 4001, 4300)}, 1, 1},
		"named for longer than the tenant's":   {[]Op{revoke, use(whatKey, "n4", "k", Live, 6101, 6300)}, 1, 1},
		"waited at a stopped node":             {[]Op{revoke, heldFor(Stop, "n3", "", 900, 4500), use(whatKey, "n3", "k", Live, 1050, 4600)}, 1, 1},
		"waited at a node that was cut off":    {[]Op{revoke, heldFor(Cut, "n3", "both", 900, 4500), use(whatKey, "n3", "k", Live, 1050, 4600)}, 0, 0},
		"a token used twice":                   {[]Op{reuse, use(whatSession, "n2", "s", Live, 1500, 1501), use(whatSession, "n2", "s", Live, 2101, 2102)}, 2, 1},
		"a token used twice, and a fault":      {[]Op{reuse, fault(Cut, "n2", 500, 8000), use(whatSession, "n2", "s", Live, 2101, 2102), use(whatSession, "n2", "s", Live, 6101, 6102)}, 2, 1},
		"a role":                               {[]Op{unbind, use(whatBinding, "n2", "u r", Live, 1101, 1102)}, 1, 1},
		"a role that was given again":          {[]Op{unbind, rebind, use(whatBinding, "n2", "u r", Live, 1550, 1551), use(whatBinding, "n2", "u r", Live, 7000, 7001)}, 0, 0},
		"a role that was given again later":    {[]Op{unbind, rebind, use(whatBinding, "n2", "u r", Live, 1400, 1401)}, 1, 1},
		"all of a user's":                      {append(all, use(whatSession, "n2", "t", Live, 1101, 1102)), 1, 1},
		"all of a user's, but for a new one":   {append(all, what(whatSession, valued(op(OpCreate, "n1", "v", Done, 990, 1005), "u")), use(whatSession, "n2", "v", Live, 1101, 1102)), 0, 0},
		"a record that was read as taken":      {[]Op{what(whatKey, op(OpRead, "n1", "k", Revoked, 1000, 1100)), use(whatKey, "n2", "k", Live, 2101, 2102)}, 1, 1},
		"a revocation without an answer":       {[]Op{what(whatKey, op(OpRevoke, "n1", "k", Unknown, 1000, 1100)), use(whatKey, "n2", "k", Live, 9101, 9102)}, 0, 0},
		"what else the user's sessions are of": {append(all, use(whatKey, "n2", "t", Live, 1101, 1102)), 0, 0},
	} {
		if v := checkShut(&Evidence{Ops: c.ops, MaxAge: 5 * time.Second, Limits: Limits{Revoked: time.Second}}); len(v.Violations) != c.wrong || v.Looked != c.looked {
			t.Errorf("%s: looked at %d: %s", name, v.Looked, breaches(v))
		}
	}
}

func TestWhoIsCutOffShuts(t *testing.T) {
	for name, c := range map[string]struct {
		held   Op
		begin  int
		looked int
		wrong  int
	}{
		"within the tenant's time": {heldFor(Cut, "n2", "both", 0, 9000), 5400, 0, 0},
		"after it":                 {heldFor(Cut, "n2", "both", 0, 9000), 5600, 1, 1},
		"it hears nobody":          {heldFor(Cut, "n2", "in", 0, 9000), 5600, 1, 1},
		"it hears the others":      {heldFor(Cut, "n2", "out", 0, 9000), 5600, 0, 0},
		"answered after the cut":   {heldFor(Cut, "n2", "both", 0, 5605), 5600, 0, 0},
		"another node":             {heldFor(Cut, "n3", "both", 0, 9000), 5600, 0, 0},
	} {
		ops := []Op{c.held, what(whatKey, op(OpUse, "n2", "k", Live, c.begin, c.begin+10))}
		if v := checkCutOff(&Evidence{Ops: ops, MaxAge: 5 * time.Second}); len(v.Violations) != c.wrong || v.Looked != c.looked {
			t.Errorf("%s: looked at %d: %s", name, v.Looked, breaches(v))
		}
	}
}

// TestAccessPlans: the same seed, the same plan; whoever is stopped or cut off in
// the first round is so for longer than the tenant's credentials are good.
func TestAccessPlans(t *testing.T) {
	const maxAge = 4 * time.Second
	for seed := range int64(50) {
		plan, again := AccessPlan(seed, 5*time.Minute, 5, maxAge), AccessPlan(seed, 5*time.Minute, 5, maxAge)
		kinds := map[Kind]int{}
		for i, f := range plan {
			if f != again[i] {
				t.Fatalf("seed %d gives %v and %v", seed, f, again[i])
			}
			if i < 5 {
				kinds[f.Kind]++
			}
			if i < 5 && f.Kind != Kill && f.Hold <= maxAge || f.Kind == Cut && (f.Mode == "" || f.Direction == "") || f.Node >= 5 {
				t.Errorf("seed %d: %+v", seed, f)
			}
		}
		if kinds[Kill] != 1 || kinds[Stop] != 1 || kinds[Cut] != 3 {
			t.Errorf("seed %d begins with %v", seed, kinds)
		}
	}
}
