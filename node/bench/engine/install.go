package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
)

// sources is the Python package whose source distribution has llama.cpp of library.Release inside.
const sources = "llama-cpp-python==0.3.36"

// place is where install builds.
func place() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "lotabots", "bench", "llama-server-"+library.Release), err
}

func findServer(named string) (string, error) {
	if named != "" {
		return filepath.Abs(named)
	}
	dir, err := place()
	if err != nil {
		return "", err
	}
	if built := filepath.Join(dir, "build", "bin", "llama-server"); exec.Command(built, "--version").Run() == nil {
		return built, nil
	}
	if path, err := exec.LookPath("llama-server"); err == nil {
		fmt.Fprintln(os.Stderr, "bench: taking", path, "from the PATH; it may be of another release and have its own code for the CPU")
		return path, nil
	}
	return "", errors.New("llama-server is not on this machine: go run ./node/bench/engine -install fetches the sources " +
		"(pip download " + sources + ") and builds it in " + dir + " (pip, cmake and a C++ compiler are needed; some minutes), or name one by -llama-server")
}

// install fetches and builds what findServer looks for first.
func install(ctx context.Context) error {
	dir, err := place()
	if err != nil {
		return err
	}
	if exec.CommandContext(ctx, filepath.Join(dir, "build", "bin", "llama-server"), "--version").Run() == nil {
		return nil
	}
	fmt.Println("building llama-server in", dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	script := `set -e
cd "$1"
pip download --quiet --no-deps --no-binary :all: "$2" -d sdist
rm -rf source && mkdir source && tar xzf sdist/*.tar.gz -C source --strip-components 1
cmake -S source/vendor/llama.cpp -B build -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_BACKEND_DL=ON \
  -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF \
  -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_APP=OFF
cmake --build build --target ggml-cpu llama-server -j "$(nproc)"
rm -rf source sdist`
	c := exec.CommandContext(ctx, "sh", "-c", script, "install", dir, sources)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
}
