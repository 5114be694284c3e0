package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func none(string) (string, bool) { return "", false }

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLaterSourcesWin(t *testing.T) {
	file := write(t, "node:\n  id: from-file\n  region: file\n  zone: file\n")
	env := func(key string) (string, bool) {
		v, ok := map[string]string{"LOTABOTS_NODE_REGION": "env", "LOTABOTS_NODE_ZONE": "env", "LOTABOTS_NODE_ROLES": "worker, gateway"}[key]
		return v, ok
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	AddFlags(flags)
	if err := flags.Parse([]string{"--zone", "flag", "--cluster-rejoin", "3s", "--api-max-body", "4096"}); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{File: file, Env: env, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	if c.Node.ID != "from-file" || c.Node.Region != "env" || c.Node.Zone != "flag" {
		t.Errorf("got %+v", c.Node)
	}
	if !reflect.DeepEqual(c.Node.Roles, []string{"worker", "gateway"}) {
		t.Errorf("roles from the environment: %q", c.Node.Roles)
	}
	if c.Cluster.Rejoin != 3*time.Second || c.API.MaxBody != 4096 {
		t.Errorf("flags: rejoin %v, max body %d", c.Cluster.Rejoin, c.API.MaxBody)
	}
	if c.API.QueueTimeout != Default().API.QueueTimeout {
		t.Errorf("a default was lost: %v", c.API.QueueTimeout)
	}
}

func TestEveryProblemIsListedAtOnce(t *testing.T) {
	file := write(t, "node:\n  id: Has Spaces\n  regoin: x\ncluster:\n  listen: nonsense\ndevices:\n  kind: abacus\nlog:\n  level: loud\n")
	_, err := Load(Sources{File: file, Env: none})
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("want Problems, got %v", err)
	}
	for _, want := range []string{`did you mean "node.region"`, `node.id = "Has Spaces"`, "cluster.listen", "devices.kind", "log.level", "for example"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing from:\n%v", want, err)
		}
	}
}

func TestAWrongTypeIsNamed(t *testing.T) {
	file := write(t, "node:\n  id: n1\napi:\n  max-body: many\n")
	if _, err := Load(Sources{File: file, Env: none}); err == nil || !strings.Contains(err.Error(), "max-body") {
		t.Errorf("got %v", err)
	}
}

func TestWriteThenLoadIsTheSame(t *testing.T) {
	c := Default()
	c.Node.ID, c.Cluster.Seeds, c.Telemetry.Sample = "n1", []string{"127.0.0.1:7946", "127.0.0.2:7946"}, 0.25
	c.Node.Zone = "a: #1"
	path := filepath.Join(t.TempDir(), "node.yaml")
	if err := Write(path, c); err != nil {
		t.Fatal(err)
	}
	got, err := Load(Sources{File: path, Env: none})
	if err != nil {
		t.Fatal(err)
	}
	// Empty lists are written as [] and read as empty, not nil.
	c.Engines.ExternalRange, c.Models.PullURLs, c.Models.PullRanges = []string{}, []string{}, []string{}
	c.Engines.ExternalURL, c.Backup.Recipient, c.API.Proxies, c.API.Origins = []string{}, []string{}, []string{}, []string{}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("wrote %+v\nread  %+v", c, got)
	}
}

func TestEveryKeyHasHelpAndExample(t *testing.T) {
	for _, f := range Schema() {
		if f.Help == "" || f.Example == "" {
			t.Errorf("%s: want help and example", f.Key)
		}
	}
}
