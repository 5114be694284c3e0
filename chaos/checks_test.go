package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// ms is a time on the history's clock.
func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func limits() Limits {
	return Limits{Writable: 3 * time.Second, Revoked: time.Second, Settle: 15 * time.Second}
}

// op makes an operation that lasts from begin to end, in milliseconds.
func op(name, node, key, result string, begin, end int) Op {
	return Op{Op: name, Node: node, Key: key, Result: result, Begin: ms(begin), End: ms(end)}
}

func by(client int, o Op) Op { o.Client = client; return o }

func fault(kind Kind, node string, begin, end int) Op {
	return Op{Op: OpFault, Kind: kind, Node: node, Begin: ms(begin), End: ms(end), Result: Done}
}

func lagging(o Op, nodes ...string) Op { o.Lagging = nodes; return o }

func request(node, model, result string, begin, end int) Op {
	o := op(OpInfer, node, "", result, begin, end)
	o.Model, o.Request, o.Attempts, o.Seen = model, "r", 1, 1
	if result == Complete {
		o.Recorded = 1
	}
	return o
}

func coded(o Op, code string) Op { o.Code = code; return o }

func recorded(o Op, n int) Op { o.Recorded = n; return o }

func seen(o Op, attempts, dispatched int) Op {
	o.Attempts, o.Seen = attempts, dispatched
	return o
}

// sound is a history in which a little of everything happened and nothing is wrong.
func sound() []Op {
	return []Op{
		op(OpCreate, "n1", "a", Done, 0, 10),
		op(OpRead, "n2", "a", Live, 11, 20),
		op(OpUse, "n3", "a", Absent, 11, 12), // this gateway has not heard of it yet
		op(OpUse, "n3", "a", Live, 20, 21),
		op(OpRevoke, "n2", "a", Done, 30, 40),
		op(OpUse, "n1", "a", Live, 35, 45),
		op(OpRead, "n1", "a", Revoked, 41, 50),
		op(OpUse, "n1", "a", Revoked, 1200, 1201),
		op(OpCreate, "n1", "b", Done, 100, 110),
		op(OpCreate, "n1", "", Unknown, 100, 200),
		op(OpRevoke, "n1", "b", Unknown, 120, 10_000),
		op(OpRead, "n1", "b", Live, 130, 140),
		op(OpCreate, "n1", "c", Done, 300, 310),
		request("n1", mockModel, Complete, 0, 800),
		request("n2", "real", Complete, 0, 900),
		coded(request("n2", mockModel, ErrorEvent, 0, 100), "stream_broken"),
		fault(Kill, "n3", 5000, 9000),
		{Op: OpWrite, Node: "n3", Begin: ms(5000), End: ms(6800), Result: Done},
		{Op: OpWhole, Node: "n3", Kind: Kill, Begin: ms(8000), End: ms(9000), Result: Done},
		seen(request("n3", mockModel, Broken, 4900, 5000), 0, 1),
		request("n3", mockModel, NoConnect, 5100, 5101),
		seen(request("n1", mockModel, Complete, 4900, 6000), 2, 2),
		coded(seen(request("n1", mockModel, HTTPError, 5500, 5600), 0, 0), "model_not_ready"),
		by(lastLook, op(OpUse, "n1", "a", Revoked, 20_000, 20_001)),
		by(lastLook, op(OpUse, "n1", "b", Revoked, 20_000, 20_001)),
		by(lastLook+1, op(OpUse, "n2", "b", Revoked, 20_000, 20_001)),
		by(lastLook, op(OpUse, "n1", "c", Live, 20_000, 20_001)),
		by(lastLook, op(OpRead, "n1", "c", Live, 20_002, 20_003)),
	}
}

func judge(ops []Op) map[string]Verdict {
	out := map[string]Verdict{}
	for _, v := range Judge(&Evidence{Ops: ops, Limits: limits(), Mock: true, Ledger: true}) {
		out[v.Check] = v
	}
	return out
}

func TestASoundHistoryPasses(t *testing.T) {
	for name, v := range judge(sound()) {
		if len(v.Violations) > 0 {
			t.Errorf("%s: %v", name, v.Violations)
		}
		if v.Looked == 0 {
			t.Errorf("%s judged nothing", name)
		}
	}
}

// TestViolationsAreCaught adds one thing to the sound history that only the
// named check may find fault with.
func TestViolationsAreCaught(t *testing.T) {
	for _, c := range []struct {
		name, check string
		add         []Op
	}{
		{"a read older than its time", CheckRegistry, []Op{op(OpRead, "n2", "c", Absent, 320, 330)}},
		{"a revoked key that lives again", CheckRegistry, []Op{op(OpRead, "n2", "a", Live, 60, 70)}},
		{"a revocation of nothing", CheckRegistry, []Op{op(OpRevoke, "n2", "c", Absent, 320, 330)}},
		{"a key that nobody made", CheckRegistry, []Op{op(OpRead, "n2", "z", Live, 320, 330)}},
		{"an open revocation that took effect and did not", CheckRegistry, []Op{op(OpRead, "n2", "b", Revoked, 150, 160), op(OpRead, "n2", "b", Live, 170, 180)}},
		{"an acknowledged key that is lost", CheckDurable, []Op{by(lastLook+2, op(OpUse, "n3", "c", Absent, 20_000, 20_001))}},
		{"an acknowledged key that cannot be asked for", CheckDurable, []Op{by(lastLook+2, op(OpUse, "n3", "c", Unknown, 20_000, 20_001))}},
		{"a key that nobody revoked", CheckDurable, []Op{by(lastLook+2, op(OpUse, "n3", "c", Revoked, 20_000, 20_001))}},
		{"a revoked key that is accepted", CheckRevoked, []Op{op(OpUse, "n1", "a", Live, 1100, 1101)}},
		{"a revoked key that is accepted after the fault", CheckRevoked, []Op{op(OpUse, "n3", "a", Live, 10_500, 10_501)}},
		{"an answer cut off", CheckOutcome, []Op{request("n1", mockModel, Truncated, 4900, 5500)}},
		{"an answer that is not the engine's", CheckOutcome, []Op{request("n1", mockModel, Garbled, 4900, 5500)}},
		{"an answer without an end", CheckOutcome, []Op{request("n1", "real", TimedOut, 4900, 80_000)}},
		{"an error without a code", CheckOutcome, []Op{request("n1", "real", HTTPError, 5000, 5100)}},
		{"an event without a code", CheckOutcome, []Op{request("n1", "real", ErrorEvent, 5000, 5100)}},
		{"a connection that died of nothing", CheckOutcome, []Op{request("n1", "real", Broken, 5000, 5100)}},
		{"a second dispatch", CheckDispatch, []Op{seen(request("n1", mockModel, Complete, 0, 100), 1, 2)}},
		{"a second dispatch after a retry", CheckDispatch, []Op{seen(request("n1", mockModel, Complete, 0, 100), 2, 3)}},
		{"an answer from nowhere", CheckDispatch, []Op{seen(request("n1", mockModel, Complete, 0, 100), 1, 0)}},
		{"an answer that nobody wrote down", CheckLedger, []Op{recorded(request("n1", "real", Complete, 0, 100), 0)}},
		{"an answer written down twice", CheckLedger, []Op{recorded(request("n1", "real", Complete, 0, 100), 2)}},
		{"a failure written down twice", CheckLedger, []Op{recorded(coded(request("n1", "real", HTTPError, 5000, 5100), "model_not_ready"), 2)}},
		{"an error without a cause", CheckQuiet, []Op{coded(request("n1", "real", HTTPError, 12_000, 12_100), "model_not_ready")}},
		{"an error of the mock's that it did not make", CheckQuiet, []Op{coded(seen(request("n1", mockModel, HTTPError, 12_000, 12_100), 3, 0), "engine_error")}},
		{"a real stream that broke without a cause", CheckQuiet, []Op{coded(request("n1", "real", ErrorEvent, 12_000, 12_100), "stream_broken")}},
		{"a slow write", CheckWritable, []Op{{Op: OpWrite, Node: "n3", Begin: ms(5000), End: ms(8100), Result: Done}}},
		{"no write", CheckWritable, []Op{{Op: OpWrite, Node: "n3", Begin: ms(5000), End: ms(5100), Result: Unknown}}},
		{"slow mending", CheckWhole, []Op{{Op: OpWhole, Node: "n3", Begin: ms(5000), End: ms(20_100), Result: Done}}},
		{"no mending", CheckWhole, []Op{{Op: OpWhole, Node: "n3", Begin: ms(5000), End: ms(5100), Result: Unknown, Detail: "no leader"}}},
		{"a node that does not come back", CheckWhole, []Op{{Op: OpFault, Kind: Kill, Node: "n3", Begin: ms(5000), End: ms(5100), Result: "exit status 1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, v := range judge(append(sound(), c.add...)) {
				if caught := len(v.Violations) > 0; caught != (name == c.check) {
					t.Errorf("%s: %v", name, v.Violations)
				}
			}
		})
	}
}

// TestWhatIsExcused is near the checks' edges and must pass.
func TestWhatIsExcused(t *testing.T) {
	for _, c := range []struct {
		name string
		add  []Op
	}{
		{"a read beside the write", []Op{op(OpRead, "n2", "c", Absent, 305, 330)}},
		{"a refused write and an unanswered read", []Op{op(OpRevoke, "n2", "c", Refused, 320, 330), op(OpRead, "n2", "c", Unknown, 340, 350), op(OpRead, "n2", "c", Live, 360, 370)}},
		{"an open revocation that took effect late", []Op{op(OpRead, "n2", "b", Revoked, 11_000, 11_010)}},
		{"a lagging node", []Op{op(OpCreate, "n1", "d", Done, 400, 410), lagging(op(OpRevoke, "n1", "d", Done, 420, 430), "n2"), op(OpUse, "n2", "d", Live, 2000, 2001)}},
		{"a stopped node that has just woken", []Op{op(OpCreate, "n1", "d", Done, 400, 410), op(OpRevoke, "n1", "d", Done, 5500, 5510), op(OpUse, "n3", "d", Live, 9900, 9901)}},
		{"a full cluster", []Op{coded(request("n1", "real", HTTPError, 12_000, 12_100), "no_capacity")}},
		{"a connection that did not come about while the node was stopped", []Op{fault(Stop, "n1", 15_000, 17_000), request("n1", "real", NoConnect, 15_500, 17_500)}},
		{"an error of a request that began in a fault", []Op{coded(request("n1", "real", HTTPError, 8900, 12_000), "stream_broken")}},
		{"an answer that the mock broke off three times", []Op{coded(seen(request("n1", mockModel, HTTPError, 12_000, 12_100), 3, 3), "engine_error")}},
		{"a failure that was written down", []Op{recorded(coded(request("n1", "real", HTTPError, 5000, 5100), "model_not_ready"), 1)}},
		{"an answer that does not tell how often it was tried", []Op{seen(request("n1", mockModel, Complete, 0, 100), 0, 2)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, v := range judge(append(sound(), c.add...)) {
				if len(v.Violations) > 0 {
					t.Errorf("%s: %v", name, v.Violations)
				}
			}
		})
	}
}

func TestARunThatBrokeOffIsNotSound(t *testing.T) {
	e := &Evidence{Ops: sound(), Limits: limits(), Mock: true, Failed: "node n2 does not start", Left: "processes left behind: [7]"}
	var broken []string
	for _, v := range Judge(e) {
		if len(v.Violations) > 0 {
			broken = append(broken, v.Check)
		}
	}
	if !slices.Equal(broken, []string{CheckWhole, CheckClean}) {
		t.Errorf("broken: %v", broken)
	}
}

func TestALaggingNodeMustCloseInTheEnd(t *testing.T) {
	ops := append(sound(), op(OpCreate, "n1", "d", Done, 400, 410), lagging(op(OpRevoke, "n1", "d", Done, 420, 430), "n2"), op(OpUse, "n2", "d", Live, 16_000, 16_001))
	if v := judge(ops)[CheckRevoked]; len(v.Violations) != 1 {
		t.Errorf("got %v", v.Violations)
	}
}

func TestDispatchIsNotJudgedWithoutTheMock(t *testing.T) {
	v := checkDispatch(&Evidence{Ops: sound()})
	if v.Looked != 0 || !strings.Contains(v.Promise, "not judged") {
		t.Errorf("got %+v", v)
	}
}

func TestALedgerThatCannotBeReadIsNoSoundOne(t *testing.T) {
	if v := checkLedger(&Evidence{Ops: sound(), Unread: "node n1 does not tell"}); len(v.Violations) != 1 {
		t.Errorf("got %+v", v)
	}
	if v := checkLedger(&Evidence{Ops: sound()}); v.Looked != 0 || !strings.Contains(v.Promise, "not judged") {
		t.Errorf("got %+v", v)
	}
}

func TestDrawing(t *testing.T) {
	raw, err := drawing(append(sound(), by(lastLook, op(OpRead, "n2", "c", Absent, 320, 330))), "c")
	if err != nil || !strings.Contains(string(raw), "<html") {
		t.Errorf("%.80q, %v", raw, err)
	}
}
