package library

import (
	"encoding/base64"
	"encoding/hex"
	"runtime"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Release is the release of llama.cpp whose functions the binding knows; the two go in pairs.
const Release = "0.5.0"

// A pin is one package at one version with one content.
type pin struct {
	name      string
	version   string
	integrity string            // base64 of the SHA-512 of the tarball
	folder    string            // of the libraries in the tarball
	links     map[string]string // the name that the binding opens -> the file
}

var pinned = pin{
	name:      "@node-llama-cpp/linux-x64",
	version:   "3.22.1",
	integrity: "5uCCDNqWCNfaAm8aR/Uzxbo4HBpKgNF91kCHPepKhgMgV2OAmatoefbOlMihsqCiH2Od35E/eUHQCFbfRBJuOg==",
	folder:    "package/bins/linux-x64/",
	links:     map[string]string{"libllama.so": "libllama.v0.5.0.so", "libggml.so": "libggml.v0.5.0.so"},
}

func (p pin) sum() []byte {
	sum, err := base64.StdEncoding.DecodeString(p.integrity)
	if err != nil {
		panic("library: the pinned digest is damaged: " + err.Error())
	}
	return sum
}

// digest is long enough to name the cache's folder.
func (p pin) digest() string { return hex.EncodeToString(p.sum()[:8]) }

// Package is what Install fetches, for people to read.
func Package() string { return pinned.name + "@" + pinned.version }

func supported() error {
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		return nil
	}
	e := spec.Errorf(spec.CodeEngineUnavailable, "no build of llama.cpp is pinned for %s/%s", runtime.GOOS, runtime.GOARCH)
	e.Hint = "Build llama.cpp " + Release + " and name its libraries' directory by " + EnvDir
	return e
}
