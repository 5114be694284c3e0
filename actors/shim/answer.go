package shim

import (
	"os"
	"time"
)

// answer does what a connection asks for and answers it.
func (s *server) answer(q question) {
	c := s.conns[q.conn]
	if c == nil {
		return
	}
	if q.refused != nil {
		c.tell(*q.refused)
		return
	}
	a := answer{V: q.V, ID: q.ID}
	if no := s.obey(q, &a); no != nil {
		a.Code, a.Text = no.code, no.text
	}
	c.tell(a)
}

func (s *server) obey(q question, a *answer) *refusal {
	now := time.Now()
	switch q.Do {
	case doDescribe:
		a.State = s.describe()
	case doClaim:
		displaced, do, no := s.machine.take(now, q.conn, *q.Claim)
		s.do(do)
		if no != nil {
			return no
		}
		if old := s.conns[displaced]; old != nil {
			old.tell(answer{V: q.V, Event: eventDisplaced})
			old.end()
		}
		a.State = s.describe()
	case doLaunch:
		if no := s.machine.may(q.conn, doLaunch); no != nil {
			return no
		}
		if no := s.launch(q.request); no != nil {
			return no
		}
		a.State = s.describe()
	case doNote:
		if no := s.machine.may(q.conn, doNote); no != nil {
			return no
		}
		s.note = q.Note
	case doTail:
		if s.out != nil {
			a.Tail = s.out.last()
		}
	case doStop:
		s.do(s.machine.stop(now, milliseconds(q.Grace), "it was stopped"))
	case doPing:
	case doFence:
		return refuse(codeState, "a claim of another instance ends the engine, not a fence")
	}
	return nil
}

func (s *server) describe() *Description {
	d := &Description{Shim: os.Getpid(), Phase: s.machine.phase.String(), Claim: s.machine.claim, Held: s.machine.holder != 0, Note: s.note}
	if s.process != nil {
		d.PID, d.Cgroup = s.process.cmd.Process.Pid, s.process.cgroup != nil
	}
	return d
}
