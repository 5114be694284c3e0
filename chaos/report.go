package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// A Report is a run and what was found in it.
type Report struct {
	Seed     int64          `json:"seed"`
	Commit   string         `json:"commit"`  // of the harness
	Version  string         `json:"version"` // of the executable under test, in its own words
	Machine  string         `json:"machine"`
	Began    time.Time      `json:"began"`
	Duration time.Duration  `json:"duration_ns"` // of the load, as it was asked for
	Nodes    int            `json:"nodes"`
	Faults   []Kind         `json:"faults"`
	Plan     []Fault        `json:"plan"`
	Struck   []Op           `json:"struck"` // the faults as they came, and how long the cluster took
	Strip    []Second       `json:"strip"`
	Counts   map[string]int `json:"counts"`
	Verdicts []Verdict      `json:"verdicts"`
	Replay   string         `json:"replay"`            // the command
	Cluster  string         `json:"cluster,omitempty"` // its directory, kept because something was broken

	begin time.Duration // of the load, on the history's clock
}

func newReport(ctx context.Context, r *run, e *Evidence) *Report {
	c := r.config
	out := &Report{
		Seed: c.Seed, Commit: commit(), Version: versionOf(ctx, c.Binary),
		Machine: fmt.Sprintf("%d CPUs, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()),
		Began:   r.began, Duration: c.Duration, Nodes: len(r.cluster.nodes), Faults: c.Faults, Plan: r.plan,
		Strip: strip(e.Ops, r.begin), Counts: counts(e.Ops), Verdicts: Judge(e), Replay: replay(c), begin: r.begin,
	}
	for _, o := range e.Ops {
		if o.Op == OpFault || o.Op == OpWhole || o.Op == OpWrite {
			out.Struck = append(out.Struck, o)
		}
	}
	return out
}

// Violations lists every breach, with its check's name before it.
func (r *Report) Violations() []string {
	var out []string
	for _, v := range r.Verdicts {
		for _, b := range v.Violations {
			out = append(out, v.Check+": "+b.Text)
		}
	}
	return out
}

// Verdict returns what the check found.
func (r *Report) Verdict(check string) Verdict {
	for _, v := range r.Verdicts {
		if v.Check == check {
			return v
		}
	}
	return Verdict{Check: check}
}

// Sound tells whether every promise held, and there was something to judge.
func (r *Report) Sound() bool {
	return len(r.Violations()) == 0 && r.Verdict(CheckOutcome).Looked > 0 && r.Verdict(CheckRegistry).Looked > 0
}

// commit is that of the harness's build, or what is known instead.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = " and changes"
		}
	}
	if revision == "" {
		return "unknown"
	}
	return revision + modified
}

func versionOf(ctx context.Context, binary string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return "unknown: " + err.Error()
	}
	return strings.TrimSpace(string(out))
}

// replay is the command that makes the same run again.
func replay(c Config) string {
	kinds := make([]string, len(c.Faults))
	for i, k := range c.Faults {
		kinds[i] = string(k)
	}
	command := fmt.Sprintf("lotabots chaos run --seed %d --duration %s --faults %s", c.Seed, c.Duration, strings.Join(kinds, ","))
	if c.Patience > 1 {
		command += fmt.Sprintf(" --patience %d", c.Patience)
	}
	if c.Attach != "" {
		return command + " --attach " + c.Attach
	}
	command += fmt.Sprintf(" --nodes %d --regions %s --engine %s", c.Nodes, strings.Join(c.Regions, ","), c.Engine)
	if len(c.Env) > 0 {
		command = strings.Join(c.Env, " ") + " " + command
	}
	return command
}

// maxDrawings bounds the pages that show a key's history.
const maxDrawings = 5

// Write puts the report into the directory: for people as report.md and
// report.html, for programs as report.json, plan.json and history.jsonl. Keys
// whose history has no order get a page each.
func (r *Report) Write(dir string, ops []Op) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	save := func(name string, raw []byte) error { return os.WriteFile(filepath.Join(dir, name), raw, 0o644) }
	page, err := r.HTML()
	if err != nil {
		return err
	}
	whole, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	plan, err := json.MarshalIndent(r.Plan, "", "  ")
	if err != nil {
		return err
	}
	for name, raw := range map[string][]byte{"report.html": page, "report.md": []byte(r.Markdown()), "report.json": whole, "plan.json": plan} {
		if err := save(name, raw); err != nil {
			return err
		}
	}
	history, err := os.Create(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		return err
	}
	if err := WriteOps(history, ops); err != nil {
		history.Close()
		return err
	}
	if err := history.Close(); err != nil {
		return err
	}
	var drawn []string
	for _, b := range r.Verdict(CheckRegistry).Violations {
		if b.Key == "" || slices.Contains(drawn, b.Key) || len(drawn) == maxDrawings {
			continue
		}
		drawn = append(drawn, b.Key)
		page, err := drawing(ops, b.Key)
		if err != nil {
			return err
		}
		if err := save("key-"+b.Key+".html", page); err != nil {
			return err
		}
	}
	return nil
}
