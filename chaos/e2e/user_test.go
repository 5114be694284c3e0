//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/demo"
)

// The numbers of a user and a group that this machine need not know.
const strangerUser, strangerGroup = 64123, 64124

// TestEnginesOfAnotherUser: a node that is root has its engines run as somebody else, who cannot read what is
// the node's; they serve, are started again when they are killed, and outlive the node as others do.
func TestEnginesOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this test is not run by root, who alone may start engines as another user")
	}
	public := t.TempDir()
	if err := os.Chmod(filepath.Dir(public), 0o711); err != nil { // where the cluster's directory will be as well
		t.Fatal(err)
	}
	helper, libraries := filepath.Join(public, "lotabots-engine"), filepath.Join(public, "lib")
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(binary(t)), "lotabots-engine"))
	if err == nil {
		err = os.WriteFile(helper, raw, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := exec.Command(helper, "install").Output() // prints the directory, which is there already
	if err == nil {
		err = os.CopyFS(libraries, os.DirFS(strings.TrimSpace(string(found))))
	}
	if err != nil {
		t.Fatalf("llama.cpp's libraries: %v", err)
	}
	c := startCluster(t, []string{fmt.Sprintf("LOTABOTS_ENGINES_USER=%d:%d", strangerUser, strangerGroup),
		"LOTABOTS_ENGINES_HELPER=" + helper, "LOTABOTS_ENGINES_LIBRARIES=" + libraries})
	c.await(time.Minute, "an instance is ready in each region", c.spread)
	if got := ask(t, c.file.Nodes[0].API, c.file.AdminKey, c.file.Deployment, demo.Question); got != demo.Answer {
		t.Errorf("got  %q\nwant %q", got, demo.Answer)
	}
	victim := pick(c, "holder", nil)
	c.lingers(victim, "0s", "2m")
	c.restart(c.file.Nodes[victim].ID)
	c.servesOn(victim)
	data := c.file.Nodes[victim].Data
	for _, path := range readableBy(t, data) {
		if filepath.Dir(path) != filepath.Join(data, "models") {
			t.Errorf("engines can read %s", path)
		}
	}

	engine, loads := c.engine(victim), c.loads(victim)
	c.isStrangers(engine)
	if err := syscall.Kill(engine, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.await(30*time.Second, "it is started again", func() bool { return c.loads(victim) > loads })
	instance := c.servesOn(victim)
	again := c.engine(victim)
	if again == engine {
		t.Fatalf("process %d serves though it was killed", engine)
	}
	c.isStrangers(again)

	if err := syscall.Kill(c.file.Nodes[victim].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.restart(c.file.Nodes[victim].ID)
	if now := c.servesOn(victim); now != instance || c.engine(victim) != again {
		t.Errorf("after a kill of the node %s serves by process %d, and %s did by %d", now, c.engine(victim), instance, again)
	}
	c.lingers(victim, "2m", "0s")
	c.restart(c.file.Nodes[victim].ID) // so that nothing outlives the test
}

func (c *cluster) isStrangers(pid int) {
	c.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	want := fmt.Sprintf("\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\nGid:\t%[2]d\t%[2]d\t%[2]d\t%[2]d\n", strangerUser, strangerGroup)
	if err != nil || !strings.Contains(string(raw), want) {
		c.t.Errorf("%v, the engine runs as\n%s", err, raw)
	}
}

// readableBy lists the files below dir that the engines' user can read, whose names it is told.
func readableBy(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && (e.IsDir() || e.Type().IsRegular()) {
			all = append(all, path)
		}
		return nil // the database removes files meanwhile
	})
	if err != nil || len(all) < 20 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	sh := exec.Command("/bin/sh", "-c", `while read -r f; do if [ -r "$f" ]; then echo "$f"; fi; done`)
	sh.Stdin = strings.NewReader(strings.Join(all, "\n") + "\n")
	sh.Dir = "/"
	sh.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: strangerUser, Gid: strangerGroup}}
	out, err := sh.Output()
	if err != nil {
		t.Fatal(err)
	}
	readable := strings.Fields(string(out))
	var others []string
	for _, path := range readable {
		if !strings.HasPrefix(path, filepath.Join(dir, "engines")+"/") { // its own rooms are there
			others = append(others, path)
		}
	}
	if len(others) == 0 {
		t.Error("it can read nothing, the model neither: this shows nothing")
	}
	return others
}
