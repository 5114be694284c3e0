package library

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// EnvDir names the environment variable with the directory of the libraries.
const EnvDir = "LOTABOTS_LLAMA_LIB"

// needed are the libraries that the binding opens by these very names.
var needed = []string{"libllama.so", "libggml.so", "libggml-base.so"}

// Find returns the directory of the libraries: the one that a flag gave, the environment's, the
// cache's, that of a local build of llama.cpp, in this order. A place that was named but lacks them is an error: what somebody asked for
// is never replaced by something else in silence.
func Find(flag string) (string, error) {
	if flag != "" {
		return named(flag, "--libraries")
	}
	if env := os.Getenv(EnvDir); env != "" {
		return named(env, EnvDir)
	}
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	if missing(cache) == nil {
		return cache, nil
	}
	for _, dir := range localBuilds() {
		if missing(dir) == nil {
			return dir, nil
		}
	}
	return "", &spec.Error{
		Code: spec.CodeEngineUnavailable,
		Message: "llama.cpp's libraries are not on this machine: neither --libraries nor " + EnvDir +
			" is set, the cache lacks them, and there is no local build in " + strings.Join(localBuilds(), ", "),
		Hint: "Run lotabots-engine install, or set " + EnvDir + " to a directory with " + strings.Join(needed, ", "),
	}
}

// localBuilds are the places where llama.cpp's own build and its installation leave
// libraries. Another release than the binding's may lack functions: then the engine says so at its start.
func localBuilds() []string {
	dirs := []string{"/usr/local/lib", "/usr/local/lib/llama"}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, "llama.cpp", "build", "bin"))
	}
	return dirs
}

func named(dir, by string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = missing(dir)
	}
	if err != nil {
		return "", &spec.Error{
			Code:    spec.CodeEngineUnavailable,
			Message: fmt.Sprintf("%s names %s, which lacks llama.cpp's libraries: %v", by, dir, err),
			Hint:    "Name a directory with " + strings.Join(needed, ", ") + " of llama.cpp " + Release,
		}
	}
	return dir, nil
}

func missing(dir string) error {
	var absent []error
	for _, name := range needed {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			absent = append(absent, fmt.Errorf("no %s", name))
		}
	}
	return errors.Join(absent...)
}

// Cache is where Install puts the pinned build.
func Cache() (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", &spec.Error{
			Code: spec.CodeEngineUnavailable, Message: "there is no cache directory", Err: err,
			Hint: "Set HOME or XDG_CACHE_HOME, or name the libraries by " + EnvDir,
		}
	}
	return filepath.Join(user, "lotabots", "llama", pinned.digest()), nil
}
