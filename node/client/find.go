package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/whole"
)

// A Context is a cluster that the command line remembers: where it is and the
// key to use, or the session that was opened by lotabots login, which goes before
// the key. It is a file of its own, mode 0600.
type Context struct {
	Endpoints []string      `json:"endpoints"`
	Key       string        `json:"key"`
	Session   *spec.Granted `json:"session,omitempty"`
}

// Flags are what the user said about where to go; all may be empty.
type Flags struct {
	Data     string // directory of a dev cluster or of a node
	Endpoint string
	Key      string
}

// Find returns a client for what the user said, else for LOTABOTS_ENDPOINT and
// LOTABOTS_API_KEY, else for the saved context. A key that was said, by flag or
// variable, is used before the one that was found.
func Find(f Flags) (*Client, error) {
	key := first(f.Key, os.Getenv("LOTABOTS_API_KEY"))
	if f.Endpoint != "" {
		return New(key, f.Endpoint), nil
	}
	if f.Data != "" {
		c, err := FromData(f.Data)
		if err != nil {
			return nil, err
		}
		return New(first(key, c.Key), c.Endpoints...), nil
	}
	if e := os.Getenv("LOTABOTS_ENDPOINT"); e != "" {
		return New(key, strings.Split(e, ",")...), nil
	}
	if path, err := contextPath(); err == nil {
		c, err := readContext(path)
		if err == nil {
			api := New(first(key, c.Key), c.Endpoints...)
			if key == "" && c.Session != nil {
				api.session = &savedSession{path: path}
			}
			return api, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return nil, errors.New("no cluster named: give --data DIR of a dev cluster or node, or --endpoint URL and --key KEY, or set LOTABOTS_ENDPOINT and LOTABOTS_API_KEY, or save one with lotabots context set or lotabots login")
}

// FindWithout is Find of a client that sends no credential: to log in with.
func FindWithout(f Flags) (*Client, error) {
	c, err := Find(f)
	if err == nil {
		c.key, c.session = "", nil
	}
	return c, err
}

// FromData reads where a dev cluster (cluster.json) or a node (context.json) is.
func FromData(dir string) (Context, error) {
	path := filepath.Join(dir, "cluster.json")
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Context{}, err
	}
	if err == nil {
		var doc struct {
			AdminKey string `json:"admin_key"`
			Nodes    []struct {
				API string `json:"api"`
			} `json:"nodes"`
		}
		if err := json.Unmarshal(raw, &doc); err != nil {
			return Context{}, fmt.Errorf("%s: %w", path, err)
		}
		c := Context{Key: doc.AdminKey}
		for _, n := range doc.Nodes {
			if n.API != "" {
				c.Endpoints = append(c.Endpoints, n.API)
			}
		}
		if len(c.Endpoints) == 0 {
			return c, fmt.Errorf("%s names no endpoint", path)
		}
		return c, nil
	}
	c, err := readContext(filepath.Join(dir, "context.json"))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "node.yaml")); err == nil {
			return c, fmt.Errorf("%s is the directory of a node that has joined: it holds no API key; give --endpoint URL of a node and LOTABOTS_API_KEY (the first node's context.json has both), or save them with lotabots context set", dir)
		}
		return c, fmt.Errorf("%s holds neither cluster.json (of lotabots dev, once it serves) nor context.json (of lotabots init)", dir)
	}
	return c, err
}

// Save remembers c for later commands of this user.
func Save(c Context) (string, error) {
	path, err := contextPath()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return path, WriteContext(path, c)
}

// WriteContext writes c to path with mode 0600, whole or not at all.
func WriteContext(path string, c Context) error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return whole.Write(path, append(raw, '\n'))
}

func readContext(path string) (Context, error) {
	var c Context
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	if len(c.Endpoints) == 0 {
		return c, fmt.Errorf("%s names no endpoint", path)
	}
	return c, nil
}

func contextPath() (string, error) {
	if p := os.Getenv("LOTABOTS_CONTEXT"); p != "" {
		return p, nil
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "lotabots", "context.json"), err
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
