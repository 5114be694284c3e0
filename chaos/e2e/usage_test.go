//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/dev"
)

// A bill is what the requests of one API key come to: as their client was told, or
// as the cluster counts them.
type bill struct {
	requests, prompt, completion int // of whole answers
	failed                       int // streams that ended with an error event; as counted: all that failed
	refused                      int // requests that were answered with an error, of which those are counted that named a model
}

// A payer sends requests by keys of its own. It takes another key once it does not
// know what became of a request: then all it knows of that key is one off at most.
type payer struct {
	c        *cluster
	keys     <-chan string // "ID TEXT"
	gateways func() []string
	told     map[string]*bill // by key id
	unknown  map[string]bool  // keys whose last request ended nobody knows how
}

func (p *payer) pay(ctx context.Context, rng *rand.Rand) error {
	key, text := "", ""
	for ctx.Err() == nil {
		if key == "" {
			select {
			case next := <-p.keys:
				key, text, _ = strings.Cut(next, " ")
				p.told[key] = &bill{}
			default:
				return errors.New("the keys are used up: too many requests were cut off")
			}
		}
		all := p.gateways()
		prompt, completion, failed, err := p.ask(all[rng.IntN(len(all))], text, rng.IntN(2) == 0, rng.IntN(20))
		b := p.told[key]
		switch {
		case errors.Is(err, errUnsent):
		case err != nil:
			p.unknown[key] = true
			key = ""
		case failed && prompt < 0:
			b.refused++
		case failed:
			b.failed++
		default:
			b.requests++
			b.prompt += prompt
			b.completion += completion
		}
		if err != nil || failed {
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

// errUnsent: there was nobody to send the request to.
var errUnsent = errors.New("the gateway is down")

// ask sends one request. An error says that its end did not arrive. failed with a
// prompt below 0 is an error that came instead of an answer.
func (p *payer) ask(gateway, key string, stream bool, from int) (prompt, completion int, failed bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	body := chat(p.c.file.Deployment, from+1, from+6, stream)
	if stream {
		body["stream_options"] = map[string]any{"include_usage": true}
	}
	raw, _ := json.Marshal(body)
	request, _ := http.NewRequestWithContext(ctx, "POST", gateway+"/v1/chat/completions", bytes.NewReader(raw))
	request.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(request)
	if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
		return 0, 0, false, errUnsent
	}
	if err != nil {
		return 0, 0, false, err
	}
	defer answer.Body.Close()
	var told struct {
		Usage *struct {
			Prompt     int `json:"prompt_tokens"`
			Completion int `json:"completion_tokens"`
		} `json:"usage"`
	}
	if !stream || answer.StatusCode != 200 {
		whole, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != 200 {
			return -1, 0, true, err
		}
		if err := json.Unmarshal(whole, &told); err != nil || told.Usage == nil {
			return 0, 0, false, fmt.Errorf("an answer without usage: %s", whole)
		}
		return told.Usage.Prompt, told.Usage.Completion, false, nil
	}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		event, ok := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case !ok:
		case event == "[DONE]" && told.Usage != nil:
			return told.Usage.Prompt, told.Usage.Completion, false, nil
		case strings.HasPrefix(event, `{"error"`):
			return 0, 0, true, nil
		default:
			_ = json.Unmarshal([]byte(event), &told)
		}
	}
	return 0, 0, false, errors.Join(errors.New("the stream was cut off"), lines.Err())
}

// counted is what the cluster says that each key has used.
func (c *cluster) counted(where ...string) map[string]bill {
	var told struct {
		Data []struct {
			Key        string `json:"key"`
			Outcome    string `json:"outcome"`
			Requests   int    `json:"requests"`
			Prompt     int    `json:"prompt_tokens"`
			Completion int    `json:"completion_tokens"`
		} `json:"data"`
		Dropped int `json:"dropped"`
	}
	if err := json.Unmarshal([]byte(c.run(append([]string{"usage", "--by", "key,outcome", "--since", "1h", "-o", "json"}, where...)...)), &told); err != nil {
		c.t.Fatal(err)
	}
	if told.Dropped > 0 {
		c.t.Errorf("%d records were dropped", told.Dropped)
	}
	out := map[string]bill{}
	for _, r := range told.Data {
		b := out[r.Key]
		if r.Outcome == "ok" {
			b.requests, b.prompt, b.completion = b.requests+r.Requests, b.prompt+r.Prompt, b.completion+r.Completion
		} else {
			b.failed += r.Requests
		}
		out[r.Key] = b
	}
	return out
}

// TestUsageReconciles: clients ask four gateways, one of them a sidecar, while the
// leader, the sidecar and another node are killed. In the end the cluster counts what
// the clients were told, to the token: each request whose end arrived once, and each
// of which no client knows the end once or not at all.
func TestUsageReconciles(t *testing.T) {
	c := startCluster(t, nil)
	token := strings.TrimSpace(c.run("tokens", "create", "--role", "gateway"))
	api, port, data := freeAddr(t), freeAddr(t), filepath.Join(c.dir, "sidecar")
	sidecar := func(more ...string) *exec.Cmd {
		cmd := exec.Command(binary(t), append([]string{"gateway", "--data", data, "--id", "sidecar", "--region", c.file.Nodes[0].Region,
			"--cluster-listen", port, "--api-listen", api}, more...)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c.await(time.Minute, "the sidecar is ready", func() bool {
			answer, err := http.Get("http://" + api + "/readyz")
			if err == nil {
				answer.Body.Close()
			}
			return err == nil && answer.StatusCode == http.StatusOK
		})
		return cmd
	}
	aside := sidecar("--join", c.file.Nodes[0].Cluster, "--token", token)
	defer func() {
		_ = aside.Process.Kill()
		_ = aside.Wait()
	}()
	gateways := []string{"http://" + api}
	for _, n := range c.file.Nodes {
		gateways = append(gateways, n.API)
	}
	const payers, most = 5, 60
	keys := make(chan string, most)
	for range most {
		key := createKey(c, 0)
		if key == "" {
			t.Fatal("a key was not created")
		}
		keys <- key
	}
	var down atomic.Int32 // of gateways; -1: none
	down.Store(-1)
	up := func() []string {
		d := int(down.Load())
		if d < 0 {
			return gateways
		}
		return append(append([]string{}, gateways[:d]...), gateways[d+1:]...)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var all sync.WaitGroup
	var paying [payers]*payer
	for i := range paying {
		paying[i] = &payer{c: c, keys: keys, gateways: up, told: map[string]*bill{}, unknown: map[string]bool{}}
		all.Go(func() {
			if err := paying[i].pay(ctx, rand.New(rand.NewPCG(uint64(i), 7))); err != nil {
				t.Error(err)
			}
		})
	}
	killNode := func(victim int) {
		time.Sleep(time.Second)
		if err := syscall.Kill(c.file.Nodes[victim].PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		down.Store(int32(victim + 1))
		time.Sleep(time.Second)
		c.run("dev", "restart", c.file.Nodes[victim].ID)
		f, err := dev.Load(c.dir)
		if err != nil {
			t.Fatal(err)
		}
		*c.file = *f
		down.Store(-1)
	}
	leader := pick(c, "leader", nil)
	killNode(leader)
	_ = aside.Process.Kill()
	_ = aside.Wait()
	down.Store(0)
	aside = sidecar()
	down.Store(-1)
	killNode((leader + 1) % len(c.file.Nodes))
	time.Sleep(time.Second)
	stop()
	all.Wait()
	reconcile(c, paying[:])
}

// reconcile waits until the cluster counts what the payers were told.
func reconcile(c *cluster, payers []*payer) {
	c.t.Helper()
	var sum bill
	unknown, why := 0, ""
	fits := func() bool {
		got := c.counted()
		sum, unknown, why = bill{}, 0, ""
		for _, p := range payers {
			for key, b := range p.told {
				has := got[key]
				more := 0
				if p.unknown[key] {
					more, unknown = 1, unknown+1
				}
				exact := has.requests == b.requests && has.prompt == b.prompt && has.completion == b.completion
				over := has.requests - b.requests + max(0, has.failed-b.failed-b.refused) // whose client knows no end
				if over > more || has.requests < b.requests || has.failed < b.failed || has.prompt < b.prompt || has.completion < b.completion || more == 0 && !exact {
					why += fmt.Sprintf("key %s: told %+v (%d of unknown end), counted %+v\n", key, *b, more, has)
				}
				sum = bill{sum.requests + b.requests, sum.prompt + b.prompt, sum.completion + b.completion, sum.failed + b.failed, sum.refused + b.refused}
			}
		}
		return why == ""
	}
	for until := time.Now().Add(time.Minute); !fits(); {
		if time.Now().After(until) {
			c.t.Fatalf("usage is not what clients were told:\n%s", why)
		}
		time.Sleep(500 * time.Millisecond)
	}
	if sum.requests < 20 {
		c.t.Errorf("only %d requests were answered", sum.requests)
	}
	c.t.Logf("%d requests of %d + %d tokens are counted as they were answered; %d ended with an error event, %d with an error; of %d no client knows the end",
		sum.requests, sum.prompt, sum.completion, sum.failed, sum.refused, unknown)
}
