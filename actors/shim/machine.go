package shim

import (
	"fmt"
	"time"
)

// A phase is where the machine stands; see the package's comment.
type phase int

const (
	empty phase = iota
	running
	stopping
	killing
	ended
)

func (p phase) String() string {
	return [...]string{"empty", "running", "stopping", "killing", "ended"}[min(max(p, empty), ended)]
}

// An effect is something that the shim has to do.
type effect int

const (
	none effect = iota
	term        // ask the engine to end
	kill        // end it and its group
	quit        // end the shim
)

// A refusal is why a request is not done.
type refusal struct{ code, text string }

func refuse(code, format string, a ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, a...)}
}

// A machine decides. It has no clock, process or connection: whoever calls it says what has happened
// and does what it says.
type machine struct {
	phase  phase
	holder int       // connection that has the claim; 0: none
	claim  Claim     // the last one
	due    time.Time // when tick has something to do; zero: never
	why    string    // the shim ends the engine; empty: it does not
}

// take judges a claim by the connection. displaced is the connection that has lost its claim by it; 0: none.
func (m *machine) take(now time.Time, conn int, c Claim) (displaced int, do effect, no *refusal) {
	first := m.claim.Instance == ""
	switch {
	case m.phase == ended:
		return 0, none, refuse(codeState, "the engine has ended")
	case first:
	case c.Instance != m.claim.Instance && c.Epoch > m.claim.Epoch:
		return 0, m.stop(now, m.claim.grace(), fmt.Sprintf("instance %s of epoch %d has its place", c.Instance, c.Epoch)),
			refuse(codeFenced, "the engine was of instance %s and epoch %d; it is being ended", m.claim.Instance, m.claim.Epoch)
	case c.Instance != m.claim.Instance:
		return 0, none, refuse(codeForeign, "the engine is of instance %s", m.claim.Instance)
	case c.Node != m.claim.Node:
		return 0, none, refuse(codeForeign, "the engine is node %s's", m.claim.Node)
	case c.Epoch < m.claim.Epoch:
		return 0, none, refuse(codeStale, "the engine is of epoch %d, the claim of %d", m.claim.Epoch, c.Epoch)
	case m.holder != 0 && m.holder != conn && c.Boot <= m.claim.Boot:
		return 0, none, refuse(codeClaimed, "process %d of the node has the engine", m.claim.Boot)
	}
	if m.holder != conn {
		displaced = m.holder
	}
	m.holder, m.claim = conn, c
	if m.phase == running {
		m.due = time.Time{}
	}
	return displaced, none, nil
}

// lost takes in that a connection has ended.
func (m *machine) lost(now time.Time, conn int) effect {
	if conn != m.holder {
		return none
	}
	m.holder = 0
	switch {
	case m.phase == empty:
		return quit
	case m.phase == running && m.claim.linger() > 0:
		m.due = now.Add(m.claim.linger())
	case (m.phase == running || m.phase == stopping) && m.claim.linger() == 0:
		return m.end(now, 0, "its node is gone")
	}
	return none
}

// may tells whether the connection may launch the engine, or change its note.
func (m *machine) may(conn int, what string) *refusal {
	switch {
	case conn != m.holder:
		return refuse(codeState, "only who has the claim may %s", what)
	case what == doLaunch && m.phase != empty:
		return refuse(codeState, "there is an engine already; it is %s", m.phase)
	}
	return nil
}

func (m *machine) launched() { m.phase = running }

// stop ends the engine after the grace, or ends the shim that has none.
func (m *machine) stop(now time.Time, grace time.Duration, why string) effect {
	if m.phase == empty {
		return quit
	}
	return m.end(now, grace, why)
}

// tick does what is due.
func (m *machine) tick(now time.Time) effect {
	if m.due.IsZero() || now.Before(m.due) {
		return none
	}
	switch m.phase {
	case running:
		return m.end(now, m.claim.grace(), fmt.Sprintf("no node has claimed it for %s", m.claim.linger()))
	case stopping:
		return m.end(now, 0, m.why)
	}
	m.due = time.Time{}
	return none
}

// exited takes in that the engine is gone.
func (m *machine) exited() effect {
	m.phase, m.due = ended, time.Time{}
	return quit
}

// end leads towards the engine's end, and never away from it: a grace that runs gets no longer.
func (m *machine) end(now time.Time, grace time.Duration, why string) effect {
	if m.why == "" {
		m.why = why
	}
	by := now.Add(grace)
	switch {
	case m.phase != running && m.phase != stopping:
		return none
	case grace <= 0:
		m.phase, m.due = killing, time.Time{}
		return kill
	case m.phase == running:
		m.phase, m.due = stopping, by
		return term
	case by.Before(m.due):
		m.due = by
	}
	return none
}
