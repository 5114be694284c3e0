package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestHistoryIsReadBack(t *testing.T) {
	h := NewHistory()
	for _, o := range sound() {
		h.Add(o)
	}
	var lines bytes.Buffer
	if err := WriteOps(&lines, h.Ops()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(lines.String(), "\n"); n != len(sound()) {
		t.Errorf("%d lines for %d operations", n, len(sound()))
	}
	got, err := ReadOps(&lines)
	if err != nil || !reflect.DeepEqual(got, sound()) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ReadOps(strings.NewReader(`{"op":"use"} {`)); err == nil {
		t.Error("a history that is cut off was read")
	}
}

func reported(ops []Op) *Report {
	r := &run{
		config:  Config{Seed: 42, Duration: 30 * time.Second, Nodes: 3, Regions: []string{"north"}, Engine: "none", Faults: []Kind{Kill, Cut}, Binary: "no-such-binary", Limits: limits()},
		cluster: &cluster{nodes: make([]node, 3)}, plan: Plan(42, 30*time.Second, 3, []Kind{Kill, Cut}), began: time.Unix(1e9, 0),
	}
	return newReport(context.Background(), r, &Evidence{Ops: ops, Limits: limits(), Mock: true})
}

func TestReportTellsWhatIsSound(t *testing.T) {
	r := reported(sound())
	if !r.Sound() || len(r.Violations()) != 0 {
		t.Fatalf("violations: %v", r.Violations())
	}
	for _, want := range []string{"seed 42: every promise held", "lotabots chaos run --seed 42 --duration 30s --faults kill,cut --nodes 3", "| registry |", "| held |", "## Faults", "infer: complete"} {
		if !strings.Contains(r.Markdown(), want) {
			t.Errorf("%q is missing from\n%s", want, r.Markdown())
		}
	}
	if empty := reported(nil); empty.Sound() || !strings.Contains(empty.Markdown(), "NOTHING WAS PROVED") {
		t.Error("a run without load counts as sound")
	}
}

func TestReportTellsWhatIsBroken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	ops := append(sound(), op(OpRead, "n2", "c", Absent, 320, 330), request("n1", "<script>", Truncated, 0, 500))
	r := reported(ops)
	if r.Sound() || len(r.Verdict(CheckRegistry).Violations) != 1 || len(r.Verdict(CheckOutcome).Violations) != 1 {
		t.Fatalf("violations: %v", r.Violations())
	}
	if err := r.Write(dir, ops); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(raw)
	}
	if md := read("report.md"); !strings.Contains(md, "BREACHES") || !strings.Contains(md, "BROKEN (1)") {
		t.Errorf("report.md:\n%s", md)
	}
	html := read("report.html")
	for _, want := range []string{"breaches", "<svg", "key-c.html", "seed 42"} {
		if !strings.Contains(html, want) {
			t.Errorf("report.html lacks %q", want)
		}
	}
	if strings.Contains(html, "<script>") {
		t.Error("report.html takes text for markup")
	}
	read("key-c.html")
	var plan []Fault
	if err := json.Unmarshal([]byte(read("plan.json")), &plan); err != nil || !reflect.DeepEqual(plan, r.Plan) {
		t.Errorf("plan.json: %+v, %v", plan, err)
	}
	back, err := ReadOps(strings.NewReader(read("history.jsonl")))
	if err != nil || len(back) != len(ops) {
		t.Errorf("history.jsonl has %d operations, %v", len(back), err)
	}
	// What was written down can be judged again, with the same verdict.
	if again := reported(back); !reflect.DeepEqual(again.Verdicts, r.Verdicts) {
		t.Error("the history on disk is judged otherwise")
	}
}

func TestStrip(t *testing.T) {
	ops := []Op{
		request("n1", "m", Complete, 1100, 1300), request("n1", "m", Complete, 1000, 2400),
		request("n1", "m", HTTPError, 2000, 2100), request("n1", "m", Broken, 2000, 2100), request("n1", "m", Truncated, 2000, 2100),
		op(OpUse, "n1", "a", Live, 1000, 1100), by(lastLook, op(OpUse, "n1", "a", Live, 3000, 3100)), by(-1, op(OpCreate, "n1", "a", Done, 1000, 1100)),
	}
	got := strip(ops, time.Second)
	want := []Second{{Complete: 1, Keys: 1, P99: ms(200)}, {Complete: 1, Errors: 1, Lost: 1, Broken: 1, P99: ms(1400)}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}
