package client

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// alone leaves the test without the user's own environment and context.
func alone(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "saved", "context.json")
	t.Setenv("LOTABOTS_CONTEXT", path)
	t.Setenv("LOTABOTS_ENDPOINT", "")
	t.Setenv("LOTABOTS_API_KEY", "")
	return path
}

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func found(t *testing.T, f Flags, key string, endpoints ...string) {
	t.Helper()
	c, err := Find(f)
	if err != nil {
		t.Error(err)
		return
	}
	if c.key != key || !reflect.DeepEqual(c.endpoints, endpoints) {
		t.Errorf("found %q %q, want %q %q", c.key, c.endpoints, key, endpoints)
	}
	if c.Endpoint() != endpoints[0] {
		t.Errorf("first is %s", c.Endpoint())
	}
}

// TestWhereItLooks adds what is weaker first.
func TestWhereItLooks(t *testing.T) {
	alone(t)
	if _, err := Find(Flags{}); err == nil || !strings.Contains(err.Error(), "--data DIR") {
		t.Errorf("with nothing said: %v", err)
	}
	if _, err := Save(Context{Endpoints: []string{"http://saved", "http://saved2"}, Key: "saved"}); err != nil {
		t.Fatal(err)
	}
	found(t, Flags{}, "saved", "http://saved", "http://saved2")
	found(t, Flags{Key: "flag"}, "flag", "http://saved", "http://saved2")
	t.Setenv("LOTABOTS_API_KEY", "env")
	found(t, Flags{}, "env", "http://saved", "http://saved2")
	t.Setenv("LOTABOTS_ENDPOINT", "http://env, env2:8080/,")
	found(t, Flags{}, "env", "http://env", "http://env2:8080")
	dir := put(t, t.TempDir(), "context.json", `{"endpoints":["http://node"],"key":"node"}`)
	t.Setenv("LOTABOTS_API_KEY", "")
	found(t, Flags{Data: dir}, "node", "http://node")
	put(t, dir, "cluster.json", `{"admin_key":"dev","nodes":[{"api":"http://n1"},{"api":""},{"api":"http://n3"}]}`)
	found(t, Flags{Data: dir}, "dev", "http://n1", "http://n3")
	found(t, Flags{Data: dir, Key: "flag", Endpoint: "http://flag"}, "flag", "http://flag")
}

func TestDamageIsSaid(t *testing.T) {
	path := alone(t)
	for name, text := range map[string]string{"cluster.json": "{", "context.json": `{"key":"k"}`} {
		dir := put(t, t.TempDir(), name, text)
		if _, err := Find(Flags{Data: dir}); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := put(t, t.TempDir(), "cluster.json", `{"admin_key":"k","nodes":[]}`)
	if _, err := Find(Flags{Data: dir}); err == nil || !strings.Contains(err.Error(), "no endpoint") {
		t.Errorf("a cluster without nodes: %v", err)
	}
	dir = put(t, t.TempDir(), "node.yaml", "node: {id: b}")
	if _, err := Find(Flags{Data: dir}); err == nil || !strings.Contains(err.Error(), "--endpoint") {
		t.Errorf("the directory of a node that has joined: %v", err)
	}
	if _, err := Find(Flags{Data: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "neither cluster.json") {
		t.Errorf("an empty directory: %v", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Dir(path), "context.json", "damaged")
	if _, err := Find(Flags{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged saved context: %v", err)
	}
}

// TestAContextIsForItsUserAlone, whatever was there before.
func TestAContextIsForItsUserAlone(t *testing.T) {
	path := alone(t)
	c := Context{Endpoints: []string{"http://a"}, Key: "k"}
	for range 2 {
		got, err := Save(c)
		if err != nil || got != path {
			t.Fatalf("saved at %s, %v", got, err)
		}
		for file, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
			if i, err := os.Stat(file); err != nil || i.Mode().Perm() != mode {
				t.Errorf("%s: %v, %v", file, i.Mode(), err)
			}
		}
		if back, err := readContext(path); err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("read %+v, %v", back, err)
		}
		if err := errors.Join(os.WriteFile(path, []byte("old"), 0o644), os.Chmod(path, 0o644)); err != nil { // of another mode
			t.Fatal(err)
		}
	}
}

func FuzzFromData(f *testing.F) {
	f.Add([]byte(`{"admin_key":"k","nodes":[{"api":"http://n1"}]}`), true)
	f.Add([]byte(`{"endpoints":["http://a"],"key":"k"}`), false)
	f.Fuzz(func(t *testing.T, raw []byte, cluster bool) {
		name := "context.json"
		if cluster {
			name = "cluster.json"
		}
		if c, err := FromData(put(t, t.TempDir(), name, string(raw))); err == nil && len(c.Endpoints) == 0 {
			t.Fatal("a cluster without endpoints")
		}
	})
}
