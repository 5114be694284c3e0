package engine

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/cluster/spec"
)

const helperName = "lotabots-engine"

// HelperPath finds lotabots-engine: where configured says, else beside this executable, else in PATH.
func HelperPath(configured string) (string, error) {
	if configured == "" {
		if self, err := os.Executable(); err == nil {
			if beside := filepath.Join(filepath.Dir(self), helperName); executable(beside) == nil {
				return beside, nil
			}
		}
	}
	path, err := program(configured, helperName, "")
	if err != nil {
		return "", &spec.Error{
			Code: spec.CodeEngineUnavailable, Message: err.Error(),
			Hint: "Put lotabots-engine beside lotabots, or name it by engines.helper; the presets ollama and llama-server do without",
		}
	}
	return path, nil
}

// embedded finds what the preset embedded needs.
func (c Config) embedded() (helper, libraries string, err error) {
	if helper, err = HelperPath(c.Helper); err != nil {
		return "", "", err
	}
	libraries, err = library.Find(c.Libraries)
	return helper, libraries, err
}

func (c Config) ollama() (string, error) {
	return program(c.Ollama, "ollama", "Install Ollama, or name it by engines.ollama; the preset embedded does without")
}

func (c Config) llamaServer() (string, error) {
	return program(c.LlamaServer, "llama-server", "Install llama.cpp's llama-server, or name it by engines.llama-server; the preset embedded does without")
}

// program finds an executable: the configured one or nothing, else the one in PATH.
func program(configured, name, hint string) (string, error) {
	path := configured
	if configured == "" {
		var err error
		if path, err = exec.LookPath(name); err != nil {
			return "", &spec.Error{Code: spec.CodeEngineUnavailable, Message: name + " is not on this machine", Hint: hint}
		}
	}
	path, err := filepath.Abs(path)
	if err == nil {
		err = executable(path)
	}
	if err != nil {
		return "", &spec.Error{Code: spec.CodeEngineUnavailable, Message: name + " cannot be run: " + err.Error(), Hint: hint}
	}
	return path, nil
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return errors.New(path + " is no executable file")
	}
	return nil
}

// visible lets a program see the one GPU it is for, as its number 0; no GPU on other devices.
func visible(d device.Device) []string {
	if d.Kind == device.KindNVIDIA {
		return []string{"CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=" + d.UUID}
	}
	return []string{"CUDA_VISIBLE_DEVICES=-1", "HIP_VISIBLE_DEVICES=-1", "ROCR_VISIBLE_DEVICES=-1", "GGML_VK_VISIBLE_DEVICES="}
}
