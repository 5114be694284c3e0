//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/client"
)

// A machine is a data directory and the process that runs on it.
type machine struct {
	t         *testing.T
	id, dir   string
	port, api string
	process   *exec.Cmd
	out       bytes.Buffer
}

func newMachine(t *testing.T, id string) *machine {
	return &machine{t: t, id: id, dir: filepath.Join(t.TempDir(), id), port: freeAddr(t), api: freeAddr(t)}
}

// flags are those of a node's first configuration.
func (m *machine) flags() []string {
	return []string{"--id", m.id, "--data", m.dir, "--cluster-listen", m.port, "--api-listen", m.api, "--roles", "voter,gateway"}
}

// command runs lotabots to its end.
func (m *machine) command(env []string, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // a passphrase is slow to try, on purpose
	defer cancel()
	c := exec.CommandContext(ctx, binary(m.t), arguments...)
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

func (m *machine) must(env []string, arguments ...string) string {
	m.t.Helper()
	out, err := m.command(env, arguments...)
	if err != nil {
		m.t.Fatalf("lotabots %v: %v\n%s", arguments, err, out)
	}
	return out
}

// run starts the process, and waits until it is ready.
func (m *machine) run() {
	m.t.Helper()
	m.start()
	within(m.t, 2*time.Minute, m.id+" is ready", func() bool { return m.get("/readyz") == http.StatusOK })
}

// get returns the status; 0: there was no answer.
func (m *machine) get(path string) int {
	answer, err := http.Get("http://" + m.api + path)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

func (m *machine) start() {
	process := exec.Command(binary(m.t), "node", "run", "--data", m.dir)
	process.Stdout, process.Stderr = &m.out, &m.out
	if err := process.Start(); err != nil {
		m.t.Error(err)
		return
	}
	m.process = process
	m.t.Cleanup(m.kill)
}

// kill is kill -9.
func (m *machine) kill() {
	if m.process != nil {
		_ = m.process.Process.Signal(syscall.SIGKILL)
		_ = m.process.Wait()
		m.process = nil
	}
}

func (m *machine) admin(key, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return client.New(key, "http://"+m.api).Do(ctx, method, path, in, out)
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// TestLostQuorumAndBackup kills two of three processes for good: the third is
// recovered and serves the keys, the dead are turned away, and a backup made
// before brings the cluster back on an empty machine.
func TestLostQuorumAndBackup(t *testing.T) {
	n1, n2, n3 := newMachine(t, "n1"), newMachine(t, "n2"), newMachine(t, "n3")
	n1.must(nil, append([]string{"init"}, n1.flags()...)...)
	n1.run()
	known, err := client.FromData(n1.dir)
	if err != nil {
		t.Fatal(err)
	}
	token := func() []string {
		var made struct{ Token string }
		if err := n1.admin(known.Key, "POST", "/admin/v1/tokens", map[string]any{"role": "voter"}, &made); err != nil {
			t.Fatal(err)
		}
		return []string{"LOTABOTS_JOIN_TOKEN=" + made.Token}
	}
	for _, n := range []*machine{n2, n3} {
		n.must(token(), append([]string{"join", n1.port}, n.flags()...)...)
		n.run()
	}
	within(t, 30*time.Second, "all three vote", func() bool {
		return strings.Count(n1.must(nil, "status", "--data", n1.dir), "active, voter") == 2
	})
	write := func(n *machine, name string) error {
		return n.admin(known.Key, "POST", "/admin/v1/keys", map[string]any{"name": name, "scopes": []string{"infer"}}, nil)
	}
	if err := write(n3, "kept"); err != nil {
		t.Fatal(err)
	}
	point := time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	time.Sleep(2 * time.Millisecond) // as fine as times are
	if err := write(n2, "too late"); err != nil {
		t.Fatal(err)
	}
	phrase, file := filepath.Join(t.TempDir(), "phrase"), filepath.Join(t.TempDir(), "all.lbk")
	if err := os.WriteFile(phrase, []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n1.must(nil, "backup", "create", "--data", n1.dir, "--out", file, "--passphrase-file", phrase)

	n2.kill()
	n3.kill()
	if err := write(n1, "nobody agrees"); err == nil {
		t.Error("one of three writes")
	}
	n1.kill()
	n1.must(nil, "recover", "--data", n1.dir)
	began := time.Now()
	n1.run()
	if err := write(n1, "after the recovery"); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v from the survivor's start to its first write", time.Since(began).Round(time.Millisecond))
	if out, err := n2.command(nil, "node", "run", "--data", n2.dir); err == nil || !strings.Contains(out, "node_removed") {
		t.Errorf("a dead voter has come back: %v\n%s", err, out)
	}
	if keys := n1.must(nil, "keys", "ls", "--data", n1.dir); !strings.Contains(keys, "kept") || !strings.Contains(keys, "after the recovery") {
		t.Errorf("keys after the recovery:\n%s", keys)
	}
	if err := os.RemoveAll(n2.dir); err != nil {
		t.Fatal(err)
	}
	n2.must(token(), append([]string{"join", n1.port}, n2.flags()...)...)
	n2.run()
	n1.kill()
	n2.kill()

	fresh := newMachine(t, "n9")
	out := fresh.must(nil, append([]string{"restore", file, "--passphrase-file", phrase}, fresh.flags()...)...)
	if !strings.Contains(out, "revoked since then work again") {
		t.Errorf("restore does not warn:\n%s", out)
	}
	fresh.run()
	keys := fresh.must([]string{"LOTABOTS_API_KEY=" + known.Key}, "keys", "ls", "--data", fresh.dir)
	if !strings.Contains(keys, "kept") || strings.Contains(keys, "after the recovery") {
		t.Errorf("keys after the restore:\n%s", keys)
	}
	if err := write(fresh, fmt.Sprint("in ", fresh.id)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(keys, "too late") {
		t.Errorf("keys after the restore of all:\n%s", keys)
	}

	then := newMachine(t, "n8")
	out = then.must(nil, append([]string{"restore", filepath.Dir(file), "--time", point, "--passphrase-file", phrase}, then.flags()...)...)
	then.run()
	keys = then.must([]string{"LOTABOTS_API_KEY=" + known.Key}, "keys", "ls", "--data", then.dir)
	if !strings.Contains(keys, "kept") || strings.Contains(keys, "too late") || !strings.Contains(out, "No revocation is among them") {
		t.Errorf("keys after the restore to %s:\n%s\nwhich said:\n%s", point, keys, out)
	}
}
