package dev

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestFileIsPrivateAndReadBack(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "no dev cluster") {
		t.Errorf("an empty directory: %v", err)
	}
	f := &File{AdminKey: "k", Deployment: "d", Dev: 1, Nodes: []Node{{ID: "n1", PID: 2, API: "http://127.0.0.1:1", Cluster: "127.0.0.1:2", Listen: "127.77.0.1:2"}}}
	if err := f.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("got %+v, %v", got, err)
	}
	info, err := os.Stat(path(dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: want 0600", info.Mode(), err)
	}
	if _, err := got.Node("n9"); err == nil {
		t.Error("a node that is not there was found")
	}
}

func TestUpdatesDoNotLoseEachOther(t *testing.T) {
	dir := t.TempDir()
	f := &File{}
	for i := range 8 {
		f.Nodes = append(f.Nodes, Node{ID: fmt.Sprint(i)})
	}
	if err := f.Save(dir); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	for i := range 8 {
		writing.Go(func() {
			if err := update(dir, func(f *File) error { f.Nodes[i].PID = i + 1; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	writing.Wait()
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range got.Nodes {
		if n.PID != i+1 {
			t.Errorf("node %d has pid %d: its update was lost", i, n.PID)
		}
	}
}

func described(t *testing.T, dir string, o Options) []Node {
	t.Helper()
	c := &Cluster{options: o, dir: dir, file: &File{}}
	if err := c.describeNodes(); err != nil {
		t.Fatal(err)
	}
	return c.file.Nodes
}

func TestNodesAreDescribedOnce(t *testing.T) {
	dir := t.TempDir()
	o := Options{Nodes: 3, Regions: []string{"north", "south"}}
	first := described(t, dir, o)
	seen := map[string]bool{}
	for i, n := range first {
		for _, addr := range []string{strings.TrimPrefix(n.API, "http://"), n.Cluster} {
			if _, _, err := net.SplitHostPort(addr); err != nil || seen[addr] {
				t.Errorf("node %d has the address %q: %v, or taken", i, addr, err)
			}
			seen[addr] = true
		}
		if n.Listen != "" {
			t.Errorf("node %d listens elsewhere, on %q", i, n.Listen)
		}
	}
	if regions := []string{first[0].Region, first[1].Region, first[2].Region}; !reflect.DeepEqual(regions, []string{"north", "north", "south"}) {
		t.Errorf("regions %v", regions)
	}
	// A start that broke off before it served finds what it had decided on.
	if second := described(t, dir, o); !reflect.DeepEqual(first, second) {
		t.Errorf("the second start described\n%+v, the first\n%+v", second, first)
	}
}

func TestLinks(t *testing.T) {
	links := []Link{{"127.77.1.1:7946", "127.77.1.101:7946"}, {"127.77.1.2:7946", "127.77.1.102:7946"}}
	nodes := described(t, t.TempDir(), Options{Nodes: 2, Regions: []string{"r"}, Links: links})
	for i, n := range nodes {
		if n.Listen != links[i].Listen || n.Cluster != links[i].Advertise {
			t.Errorf("node %d: %+v", i, n)
		}
		flags := strings.Join(nodeFlags(n), " ")
		if !strings.Contains(flags, "--cluster-listen "+links[i].Listen+" --cluster-advertise "+links[i].Advertise) {
			t.Errorf("flags of node %d: %s", i, flags)
		}
	}
	if flags := nodeFlags(Node{Cluster: "127.0.0.1:9"}); slices.Contains(flags, "--cluster-advertise") || !slices.Contains(flags, "127.0.0.1:9") {
		t.Errorf("flags without a link: %v", flags)
	}
	c := &Cluster{options: Options{Nodes: 3, Regions: []string{"r"}, Links: links}, dir: t.TempDir(), file: &File{}}
	if err := c.describeNodes(); err == nil {
		t.Error("two links for three nodes were taken")
	}
}

func TestParseLink(t *testing.T) {
	want := Link{"127.77.1.1:7946", "127.77.1.101:7946"}
	if got, err := ParseLink(want.String()); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "127.0.0.1:1", "a:1=b", "a:1=b:x", ":1=b:2", "a:1=b:70000", "a:0=b:1"} {
		if got, err := ParseLink(bad); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}

func FuzzParseLink(f *testing.F) {
	f.Add("127.77.1.1:7946=127.77.1.101:7946")
	f.Add("=")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLink(s)
		if err != nil {
			return
		}
		if again, err := ParseLink(l.String()); err != nil || again != l {
			t.Errorf("%q became %v, which became %v, %v", s, l, again, err)
		}
	})
}

func TestPrintStream(t *testing.T) {
	const piece = `data: {"choices":[{"delta":{"content":"hi"}}]}` + "\n\n"
	for _, c := range []struct {
		name, body, out string
		sound           bool
	}{
		{"whole", piece + ": ping\n\n" + piece + "data: [DONE]\n\n", "hihi", true},
		{"cut off", piece, "hi", false},
		{"error event", piece + `data: {"error":{"message":"broken"}}` + "\n\n", "hi", false},
		{"not JSON", "data: {\n\n", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			err := printStream(&out, strings.NewReader(c.body))
			if out.String() != c.out || (err == nil) != c.sound {
				t.Errorf("printed %q, %v", out.String(), err)
			}
		})
	}
	if err := printStream(io.Discard, strings.NewReader(piece)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a stream that is cut off: %v", err)
	}
}

// TestStop ends a process that has no ear for SIGTERM, and takes a stranger's
// process for no node.
func TestStop(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "n1")
	cmd := exec.Command("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil { // the trap is set
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if runs(pid, dir+"-another") {
		t.Error("a process of another directory counts as the node's")
	}
	if !runs(pid, dir) {
		t.Fatal("the node's process does not count as running")
	}
	if forced := stop([]Node{{ID: "n1", PID: pid, Data: dir}}, 100*time.Millisecond); !slices.Equal(forced, []string{"n1"}) {
		t.Errorf("ended by force: %v", forced)
	}
	_ = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("it ended by %v, want by force", cmd.ProcessState)
	}
	if runs(pid, dir) {
		t.Error("it still counts as running")
	}
}

func TestFreePortIsFreeForBoth(t *testing.T) {
	taken := map[int]bool{}
	for range 5 {
		port, err := freePort("127.0.0.1", taken)
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Errorf("port %d: %v", port, err)
			continue
		}
		udp.Close()
	}
	if len(taken) != 5 {
		t.Errorf("taken: %v", taken)
	}
}
