//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos/links"
	"github.com/lotabots/lotabots/node/dev"
)

// A tale is what a client got of one stream.
type tale struct {
	text    string
	finish  string
	usage   string
	ids     []string // of the answer: one, or it is not one answer
	roles   int
	failure string
	done    bool
	seam    string
	node    string
	gap     time.Duration // at the seam
}

// cutShort is a stream that ended without saying so.
func (l tale) cutShort() bool { return !l.done && l.failure == "" }

// listen asks for a stream and calls at once the event of that number has come, while
// the rest is under way.
func listen(t *testing.T, url, key string, body map[string]any, number int, at func(node string)) (l tale) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/chat/completions", bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		l.failure = err.Error()
		return l
	}
	defer answer.Body.Close()
	l.node = answer.Header.Get("X-LotaBots-Node")
	if answer.StatusCode != http.StatusOK {
		l.failure = answer.Status
		return l
	}
	last, events := time.Now(), 0
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, ": resumed") {
			l.seam = line
			continue
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		if l.seam != "" && l.gap == 0 {
			l.gap = time.Since(last)
		}
		last = time.Now()
		l.take(data)
		if events++; events == number {
			at(l.node)
		}
	}
	return l
}

func (l *tale) take(data string) {
	if data == "[DONE]" {
		l.done = true
		return
	}
	var e struct {
		ID      string
		Choices []struct {
			Delta  struct{ Role, Content string }
			Finish string `json:"finish_reason"`
		}
		Usage *struct {
			Prompt     int `json:"prompt_tokens"`
			Completion int `json:"completion_tokens"`
		}
		Error *struct{ Message string }
	}
	switch err := json.Unmarshal([]byte(data), &e); {
	case err != nil:
		l.failure = "not JSON: " + data
		return
	case e.Error != nil:
		l.failure = e.Error.Message
		return
	}
	if !slices.Contains(l.ids, e.ID) {
		l.ids = append(l.ids, e.ID)
	}
	for _, c := range e.Choices {
		l.text += c.Delta.Content
		l.finish += c.Finish
		if c.Delta.Role != "" {
			l.roles++
		}
	}
	if e.Usage != nil {
		l.usage += fmt.Sprint(*e.Usage)
	}
}

// same tells what of an answer the fault has changed; empty: nothing.
func (l tale) same(calm tale) string {
	switch {
	case l.text != calm.text:
		n := 0
		for n < min(len(l.text), len(calm.text)) && l.text[n] == calm.text[n] {
			n++
		}
		return fmt.Sprintf("the text differs from byte %d: %q, not %q", n, clipped(l.text[n:]), clipped(calm.text[n:]))
	case l.finish != calm.finish || l.usage != calm.usage || l.roles != 1 || len(l.ids) != 1:
		return fmt.Sprintf("finish %q usage %q roles %d ids %v; %q %q without the fault", l.finish, l.usage, l.roles, l.ids, calm.finish, calm.usage)
	}
	return ""
}

func clipped(s string) string { return s[:min(len(s), 60)] }

// resumed are the requests that are interrupted: a plain one, one whose answer ends at
// a string, and one that must be JSON and tells its usage.
func resumed(model string) []map[string]any {
	plain, stop, shaped := chat(model, 1, 150, true), chat(model, 1, 150, true), chat(model, 20, 150, true)
	stop["stop"], stop["stream_options"] = []string{"139 14"}, map[string]bool{"include_usage": true}
	shaped["logprobs"] = false
	shaped["stream_options"] = map[string]bool{"include_usage": true}
	shaped["presence_penalty"] = 0.1
	return []map[string]any{plain, stop, shaped}
}

// A fault strikes the node that serves, and what it returns mends it.
type fault func(c *cluster, set *links.Set, gateway, serving int) (mend func())

var faults = map[string]fault{
	"engine": func(c *cluster, _ *links.Set, _, serving int) func() {
		c.kill(c.engine(serving))
		return func() {}
	},
	"node": func(c *cluster, _ *links.Set, _, serving int) func() {
		c.kill(c.file.Nodes[serving].PID)
		return func() { c.restart(c.file.Nodes[serving].ID) }
	},
	"stop": func(c *cluster, _ *links.Set, _, serving int) func() {
		if err := syscall.Kill(c.file.Nodes[serving].PID, syscall.SIGTERM); err != nil {
			c.t.Error(err)
		}
		return func() { c.restart(c.file.Nodes[serving].ID) }
	},
	"link": func(_ *cluster, set *links.Set, gateway, serving int) func() {
		set.Cut(gateway, serving, links.Freeze)
		set.Cut(serving, gateway, links.Freeze)
		return set.Heal
	},
}

func (c *cluster) kill(pid int) {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		c.t.Error(err)
	}
}

// TestStreamsAreResumed: an engine, a node and a link die in the middle of streams,
// again and again: each stream ends whole, as if nothing had been, or says why not.
// LOTABOTS_RESUME=full makes it a hundred times each.
func TestStreamsAreResumed(t *testing.T) {
	times := 5
	if os.Getenv("LOTABOTS_RESUME") == "full" {
		times = 100
	}
	set, err := links.Open(3)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	arguments := []string{"--nodes", "3"}
	for _, l := range set.Links() {
		arguments = append(arguments, "--link", dev.Link{Listen: l.Listen.String(), Advertise: l.Advertise.String()}.String())
	}
	c := startCluster(t, []string{"LOTABOTS_PLACEMENT_DEAD_GRACE=10m"}, arguments...)
	c.await(time.Minute, "an instance is ready in each region", c.spread)
	bodies := resumed(c.file.Deployment)
	calm := make([]tale, len(bodies))
	gateway := (&interrupted{cluster: c}).awaitBoth()
	for i, body := range bodies {
		calm[i] = listen(t, c.file.Nodes[gateway].API, c.file.AdminKey, body, 0, nil)
		if !calm[i].done || calm[i].failure != "" || len(calm[i].text) < 300 {
			t.Fatalf("without a fault: %+v", calm[i])
		}
	}
	for _, name := range []string{"engine", "node", "link", "stop"} {
		t.Run(name, func(t *testing.T) {
			times := times
			if name == "stop" { // an orderly end, of which many show no more
				times = max(1, times/5)
			}
			inner := *c
			inner.t = t
			r := interrupted{cluster: &inner, set: set, bodies: bodies, calm: calm, random: rand.New(rand.NewPCG(6, uint64(len(name)))), finishes: name == "stop"}
			r.run(name, times)
		})
	}
}

// An interrupted is a run of streams that one kind of fault breaks off.
type interrupted struct {
	*cluster
	set    *links.Set
	bodies []map[string]any
	calm   []tale
	random *rand.Rand

	finishes bool // what was struck may end its streams well itself

	struck, whole, failed, silent, other int
	gaps                                 []time.Duration
}

func (r *interrupted) run(name string, times int) {
	for try := 0; r.struck < times && try < 3*times; try++ {
		r.once(r.awaitBoth(), faults[name], try%len(r.bodies))
	}
	slices.Sort(r.gaps)
	gap := func(q float64) time.Duration {
		return r.gaps[min(int(q*float64(len(r.gaps))), len(r.gaps)-1)]
	}
	r.t.Logf("%s: %d streams were struck: %d whole (%d resumed), %d with an error event, %d cut short in silence, %d with another text", name, r.struck, r.whole, len(r.gaps), r.failed, r.silent, r.other)
	fmt.Printf("figure: resumed_%s_complete %.1f %% goal >= 99.9\n", name, 100*float64(r.whole)/float64(max(r.struck, 1)))
	fmt.Printf("figure: resumed_%s_silent_truncations %d streams goal <= 0\n", name, r.silent)
	if len(r.gaps) > 0 {
		fmt.Printf("figure: resumed_%s_gap_p50 %.3f s\n", name, gap(.5).Seconds())
		fmt.Printf("figure: resumed_%s_gap_p99 %.3f s goal <= 1\n", name, gap(.99).Seconds())
	}
	if r.silent > 0 || r.other > 0 || r.struck < times || r.whole < r.struck-max(1, r.struck/100) {
		r.t.Errorf("%d of %d were struck; %d whole, %d with an error event, %d silent, %d other", r.struck, times, r.whole, r.failed, r.silent, r.other)
	}
}

// awaitBoth waits until two instances are ready, and returns the node that has none:
// it is asked, and goes on living.
func (r *interrupted) awaitBoth() (gateway int) {
	r.await(2*time.Minute, "two instances are ready, beside a node without", func() bool {
		for i, n := range r.file.Nodes {
			_, raw, err := call(r.t.Context(), "GET", n.API+"/admin/v1/status", r.file.AdminKey, nil)
			var s status
			if err != nil || json.Unmarshal(raw, &s) != nil {
				continue
			}
			ready, own := 0, false
			for _, in := range s.Instances {
				own = own || in.Node == n.ID
				if in.State == "ready" {
					ready++
				}
			}
			if gateway = i; ready >= 2 && !own {
				return true
			}
		}
		return false
	})
	return gateway
}

func (r *interrupted) once(gateway int, strike fault, which int) {
	mend := func() {}
	l := listen(r.t, r.file.Nodes[gateway].API, r.file.AdminKey, r.bodies[which], 3+r.random.IntN(150), func(node string) {
		for i, n := range r.file.Nodes {
			if n.ID == node {
				mend = strike(r.cluster, r.set, gateway, i)
			}
		}
	})
	if l.failure != "" || l.cutShort() {
		r.explain(gateway)
	}
	mend()
	time.Sleep(500 * time.Millisecond) // until what was struck is seen to be: two faults at once are another matter
	switch {
	case l.cutShort():
		r.struck++
		r.silent++
		r.t.Errorf("cut short: %+v", l)
	case l.failure != "":
		r.struck++
		r.failed++
		r.t.Logf("ended with an error: %s, after %d bytes", l.failure, len(l.text))
	case l.seam == "" && !r.finishes: // all of it was on its way already
	case l.same(r.calm[which]) != "":
		r.struck++
		r.other++
		r.t.Errorf("%s: %s", l.seam, l.same(r.calm[which]))
	default:
		r.struck++
		r.whole++
		if l.seam != "" {
			r.gaps = append(r.gaps, l.gap)
		}
	}
}

// explain logs what the gateway said of the last stream.
func (r *interrupted) explain(gateway int) {
	raw, _ := os.ReadFile(filepath.Join(r.file.Nodes[gateway].Data, "node.log"))
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	r.t.Logf("the last lines of %s:\n%s\n%+v", r.file.Nodes[gateway].ID, strings.Join(lines[max(0, len(lines)-12):], "\n"), r.status())
}
