package engine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

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

func (c Config) vllm() (string, error) {
	return program(c.VLLM, VLLM, "Install vLLM, or name it by engines.vllm; the preset embedded does without")
}

func (c Config) sglang() (string, error) {
	return program(c.SGLang, SGLang, "Install SGLang, or name it, or a python that has it, by engines.sglang; the preset embedded does without")
}

func (c Config) triton() (string, error) {
	return program(c.Triton, "tritonserver", "Install Triton's server, or name it by engines.triton; the preset embedded does without")
}

// weights is the path of what the engine is to load: the imported model's, or that of the entry of
// Config.Models which the option weights names.
func (c Config) weights(s Spec, o options) (string, error) {
	name := o["weights"]
	if name == "" {
		return filepath.Abs(s.Model)
	}
	const hint = "Put the model into the directory that the node's engines.models names, or use an imported one"
	if c.Models == "" {
		return "", &spec.Error{Code: spec.CodeEngineUnavailable, Param: "options.weights", Message: "this node has no models of its own: its engines.models is not set", Hint: hint}
	}
	path, err := filepath.Abs(filepath.Join(c.Models, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return "", &spec.Error{Code: spec.CodeEngineUnavailable, Param: "options.weights", Message: fmt.Sprintf("this node has no model %q of its own", name), Hint: hint, Err: err}
	}
	return path, nil
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

// gpus are the GPUs that the engine is for; none on other devices.
func (s Spec) gpus() (out []device.Device) {
	for _, d := range append([]device.Device{s.Device}, s.Others...) {
		if d.Kind == device.KindNVIDIA {
			out = append(out, d)
		}
	}
	return out
}

// visible lets a program see the GPUs it is for, counted from 0; none where there are none.
func visible(gpus ...device.Device) []string {
	var ids []string
	for _, d := range gpus {
		if d.Kind == device.KindNVIDIA {
			ids = append(ids, d.UUID)
		}
	}
	if len(ids) > 0 {
		return []string{"CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=" + strings.Join(ids, ",")}
	}
	return []string{"CUDA_VISIBLE_DEVICES=-1", "HIP_VISIBLE_DEVICES=-1", "ROCR_VISIBLE_DEVICES=-1", "GGML_VK_VISIBLE_DEVICES="}
}
