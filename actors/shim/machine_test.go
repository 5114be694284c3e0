package shim

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Unix(1_000_000, 0)

func claimOf(epoch, boot uint64, linger time.Duration) Claim {
	return Claim{Node: "n1", Boot: boot, Instance: "chat-1", Epoch: epoch, Linger: linger.Milliseconds(), Grace: 2000}
}

// held is a machine whose engine runs, claimed by connection 1.
func held(linger time.Duration) *machine {
	m := &machine{holder: 1}
	_, _, _ = m.take(t0, 1, claimOf(5, 100, linger))
	m.launched()
	return m
}

func TestLosingTheClaim(t *testing.T) {
	m := &machine{holder: 1}
	if m.lost(t0, 1) != quit {
		t.Error("a shim without engine outlives who has started it")
	}
	if m = held(0); m.lost(t0, 1) != kill || m.phase != killing {
		t.Errorf("without linger the engine is %s", m.phase)
	}
	m = held(time.Minute)
	if m.lost(t0, 7) != none || !m.due.IsZero() {
		t.Error("somebody else's connection matters")
	}
	if m.lost(t0, 1) != none || m.tick(t0.Add(time.Minute-1)) != none {
		t.Error("it is not waited for")
	}
	if m.tick(t0.Add(time.Minute)) != term || m.phase != stopping {
		t.Errorf("after the linger: %s", m.phase)
	}
	if m.tick(t0.Add(time.Minute+2*time.Second)) != kill {
		t.Error("the grace does not end")
	}
	if m.exited() != quit || m.phase != ended {
		t.Error("it stays without its engine")
	}
	m = held(time.Minute)
	m.lost(t0, 1)
	if _, _, no := m.take(t0.Add(59*time.Second), 2, claimOf(5, 101, time.Minute)); no != nil {
		t.Fatalf("the next process: %v", no)
	}
	if m.tick(t0.Add(time.Hour)) != none {
		t.Error("a claimed engine ends")
	}
}

func TestWhoMayClaim(t *testing.T) {
	other := func(change func(*Claim)) Claim {
		c := claimOf(5, 101, time.Minute)
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		claim     Claim
		alone     bool // the first has gone
		code      string
		displaced int
		do        effect
	}{
		"the next process":             {claim: other(func(*Claim) {}), alone: true},
		"a clock that was set back":    {claim: other(func(c *Claim) { c.Boot = 3 }), alone: true},
		"a newer process":              {claim: other(func(*Claim) {}), displaced: 1},
		"an older process":             {claim: other(func(c *Claim) { c.Boot = 99 }), code: codeClaimed},
		"the same once more":           {claim: other(func(c *Claim) { c.Boot = 100 }), code: codeClaimed},
		"an older epoch":               {claim: other(func(c *Claim) { c.Epoch = 4 }), alone: true, code: codeStale},
		"a newer epoch":                {claim: other(func(c *Claim) { c.Epoch = 6 }), alone: true},
		"another node":                 {claim: other(func(c *Claim) { c.Node = "n2" }), alone: true, code: codeForeign},
		"another instance":             {claim: other(func(c *Claim) { c.Instance = "b" }), alone: true, code: codeForeign},
		"another instance, and newer":  {claim: other(func(c *Claim) { c.Instance, c.Epoch = "b", 6 }), alone: true, code: codeFenced, do: term},
		"a fence though it is claimed": {claim: other(func(c *Claim) { c.Instance, c.Epoch = "b", 6 }), code: codeFenced, do: term},
	} {
		m := held(time.Minute)
		if c.alone {
			m.lost(t0, 1)
		}
		displaced, do, no := m.take(t0, 2, c.claim)
		code := ""
		if no != nil {
			code = no.code
		}
		if code != c.code || displaced != c.displaced || do != c.do {
			t.Errorf("%s: %q, displaced %d, effect %d", name, code, displaced, do)
		}
		if (m.holder == 2) != (c.code == "") {
			t.Errorf("%s: held by %d", name, m.holder)
		}
	}
	m := held(time.Minute)
	if _, _, no := m.take(t0, 1, claimOf(9, 100, 0)); no != nil || m.claim.Epoch != 9 {
		t.Errorf("who has it cannot raise its epoch: %v", no)
	}
}

func TestEndings(t *testing.T) {
	m := held(time.Minute)
	if m.stop(t0, 10*time.Second, "asked") != term || m.stop(t0, time.Minute, "again") != none || m.due != t0.Add(10*time.Second) {
		t.Errorf("a second stop prolongs the first: due %s", m.due)
	}
	if m.stop(t0, time.Second, "again"); m.due != t0.Add(time.Second) {
		t.Error("a shorter grace is not taken")
	}
	if m.stop(t0, 0, "again") != kill || m.stop(t0, 0, "again") != none || m.why != "asked" {
		t.Errorf("the kill: %s, %q", m.phase, m.why)
	}
	if m = (&machine{holder: 1}); m.stop(t0, time.Hour, "x") != quit {
		t.Error("nothing to stop, and it stays")
	}
	m = held(time.Minute)
	if m.may(2, doNote) == nil || m.may(1, doNote) != nil || m.may(1, doLaunch) == nil {
		t.Error("who may change what")
	}
}

// TestNoEngineIsForgotten: whatever happens, an engine that nobody claims has been killed once its linger
// and its grace are over, and one that is claimed, and that nobody ends, runs.
func TestNoEngineIsForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, now := &machine{holder: 1}, t0
		conns := map[int]bool{1: true}
		ending, quits, killed := false, false, false
		do := func(e effect) {
			killed = killed || e == kill
			quits = quits || e == quit
		}
		seconds := rapid.IntRange(0, 20)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if quits {
				break
			}
			conn := rapid.IntRange(1, 4).Draw(t, "conn")
			switch rapid.IntRange(0, 7).Draw(t, "event") {
			case 0:
				conns[conn] = true
				c := claimOf(rapid.Uint64Range(1, 4).Draw(t, "epoch"), rapid.Uint64Range(1, 4).Draw(t, "boot"), time.Duration(seconds.Draw(t, "linger"))*time.Second)
				c.Instance = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "instance")
				displaced, e, no := m.take(now, conn, c)
				ending = ending || no != nil && no.code == codeFenced
				do(e)
				if displaced != 0 {
					delete(conns, displaced)
					do(m.lost(now, displaced))
				}
			case 1:
				delete(conns, conn)
				do(m.lost(now, conn))
			case 2:
				if m.may(conn, doLaunch) == nil && conns[conn] {
					m.launched()
				}
			case 3:
				if rapid.IntRange(0, 5).Draw(t, "rarely") == 0 {
					ending = true
					do(m.stop(now, time.Duration(seconds.Draw(t, "grace"))*time.Second, "asked"))
				}
			default:
				now = now.Add(time.Duration(seconds.Draw(t, "pause")) * time.Second)
				do(m.tick(now))
			}
		}
		if m.holder != 0 && !conns[m.holder] {
			t.Fatalf("held by %d, which is gone", m.holder)
		}
		if m.holder != 0 && m.phase == running && !ending {
			if now = now.Add(time.Hour); m.tick(now) != none {
				t.Fatal("a claimed engine was ended")
			}
		}
		if m.holder != 0 {
			do(m.lost(now, m.holder))
		}
		for range 2 { // its linger, its grace
			now = now.Add(time.Minute)
			do(m.tick(now))
		}
		if !quits && !killed {
			t.Fatalf("nobody claims it, and it is %s", m.phase)
		}
		if m.exited() != quit {
			t.Fatal("the shim outlives its engine")
		}
	})
}
