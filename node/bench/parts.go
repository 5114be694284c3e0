package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/dev"
)

const startLimit = 40 * time.Second

// parts are the processes of a benchmark.
type parts struct {
	fast, paced, pass string // host:port
	passPaced         string // a pass-through to paced
	quiet             string // an engine of idle streams; empty: there is none
	lota              string // host:port of the node's gateway
	nginx             string // empty: it is not installed
	key, adminKey     string
	passPID, nodePID  int
	nginxPID          int
	dir, nodeData     string
	children          []*exec.Cmd
}

// startParts starts two mock engines, the pass-throughs' one process, and a
// cluster of one node. What was started is ended again when it fails.
func startParts(ctx context.Context, binary string) (p *parts, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	p = &parts{}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return p, err
	}
	if p.fast, _, err = p.serve(self, "mock"); err != nil {
		return p, err
	}
	if p.paced, _, err = p.serve(self, "paced"); err != nil {
		return p, err
	}
	if p.quiet, _, err = p.serve(self, "idle"); err != nil {
		return p, err
	}
	if p.pass, p.passPID, err = p.serve(self, "pass", "-upstream", p.fast); err != nil {
		return p, err
	}
	if p.passPaced, _, err = p.serve(self, "pass", "-upstream", p.paced); err != nil {
		return p, err
	}
	if err = p.startCluster(ctx, binary); err != nil {
		return p, err
	}
	if err = p.startNginx(); err != nil {
		return p, err
	}
	return p, p.deploy(ctx)
}

// beside starts a cluster of another build in front of the same engines.
func (p *parts) beside(ctx context.Context, binary string) (q *parts, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	q = &parts{fast: p.fast, paced: p.paced, quiet: p.quiet, pass: p.pass, passPaced: p.passPaced}
	if err = q.startCluster(ctx, binary); err == nil {
		err = q.deploy(ctx)
	}
	if err == nil {
		err = q.warm()
	}
	if err != nil {
		q.stop()
	}
	return q, err
}

// serve starts one of the benchmark's own parts, whose first line is its address.
func (p *parts) serve(self string, arguments ...string) (address string, pid int, err error) {
	cmd := exec.Command(self, append([]string{"-serve"}, arguments...)...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe() // the part ends when this process does
	if err != nil {
		return "", 0, err
	}
	_ = in
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", 0, err
	}
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	p.children = append(p.children, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", 0, fmt.Errorf("part %s does not start: %w", arguments[0], err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid, nil
}

func (p *parts) startCluster(ctx context.Context, binary string, environment ...string) error {
	dir, err := os.MkdirTemp("", "lotabots-bench-")
	if err != nil {
		return err
	}
	p.dir = dir
	var out bytes.Buffer
	cmd := exec.Command(binary, "dev", "--nodes", "1", "--regions", "local", "--no-demo", "--data", dir, "--engine", "external", "--engine-url", "http://"+p.fast)
	cmd.Env = append(append(os.Environ(), "LOTABOTS_ENGINES_EXTERNAL_URLS=http://"+p.fast+",http://"+p.paced+",http://"+cmp.Or(p.quiet, p.fast)), environment...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: run make build first", err)
	}
	p.children = append(p.children, cmd)
	for {
		if f, err := dev.Load(dir); err == nil {
			n := f.Nodes[0]
			p.lota, p.key, p.nodePID, p.nodeData = strings.TrimPrefix(n.API, "http://"), f.AdminKey, n.PID, n.Data
			return nil
		}
		select {
		case <-ctx.Done():
			p.stop() // which waits for it, and so for its output
			return fmt.Errorf("lotabots dev does not serve:\n%s", out.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Names of the deployments.
const (
	fastModel  = "bench"
	pacedModel = "bench-paced"
)

// deploy deploys both engines, and makes a key as a client would have.
func (p *parts) deploy(ctx context.Context) error {
	api := client.New(p.key, "http://"+p.lota)
	for name, address := range map[string]string{fastModel: p.fast, pacedModel: p.paced} {
		wanted := map[string]any{"engine": "external", "options": map[string]string{"url": "http://" + address}, "replicas": 1, "slots": 4 * manyConnections}
		if err := api.Do(ctx, http.MethodPut, "/admin/v1/deployments/"+name, wanted, nil); err != nil {
			return err
		}
	}
	var made struct{ Key string }
	limited := map[string]any{"name": "bench", "scopes": []string{"infer"}, "models": []string{"bench*"}, "requests_per_minute": 2_000_000_000}
	if err := api.Do(ctx, http.MethodPost, "/admin/v1/keys", limited, &made); err != nil {
		return err
	}
	p.adminKey, p.key = p.key, made.Key
	return nil
}

// ways lists the ways to the engine.
func (p *parts) ways() []way {
	all := []way{
		direct: {name: "direct", fast: target{p.fast, fastModel, p.key}, paced: target{p.paced, pacedModel, p.key}},
		bare:   {name: "pass-through", fast: target{p.pass, fastModel, p.key}, paced: target{p.passPaced, pacedModel, p.key}, pid: p.passPID},
		lota:   {name: "LotaBots", fast: target{p.lota, fastModel, p.key}, paced: target{p.lota, pacedModel, p.key}, pid: p.nodePID, data: p.nodeData},
	}
	if p.nginx != "" {
		all = append(all, way{name: "nginx", fast: target{p.nginx, fastModel, p.key}, pid: p.nginxPID})
	}
	return all
}

// warm waits until every way answers, and lets caches and pools fill.
func (p *parts) warm() error {
	for _, w := range p.ways() {
		for _, t := range []target{w.fast, w.paced} {
			if t.address == "" {
				continue
			}
			c := t.connect(false)
			err := errors.New("never asked")
			for end := time.Now().Add(startLimit); err != nil && time.Now().Before(end); {
				if err = c.send(); err != nil {
					time.Sleep(20 * time.Millisecond)
				}
			}
			c.close()
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
		if _, _, err := closedLoop(context.Background(), w.fast, manyConnections, 300*time.Millisecond); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// stop ends every process and waits; a second call does nothing.
func (p *parts) stop() {
	for _, c := range p.children {
		_ = c.Process.Signal(syscall.SIGINT)
	}
	for _, c := range p.children {
		force := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		force.Stop()
	}
	p.children = nil
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}

// listen opens a port and tells it to who started this process.
func listen() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Println(l.Addr())
	}
	return l, err
}
