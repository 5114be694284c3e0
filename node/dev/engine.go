package dev

import (
	"errors"
	"os"
	"os/exec"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/cluster/spec"
)

// ChooseEngine is the preset to serve the model by: the one asked for, else the
// embedded engine where llama.cpp's libraries are, else llama-server or Ollama
// where the PATH has them. There is no engine that only pretends.
func ChooseEngine(asked string) (string, error) {
	if asked != "" {
		return asked, nil
	}
	_, missing := library.Find(os.Getenv("LOTABOTS_ENGINES_LIBRARIES"))
	if missing == nil {
		return "embedded", nil
	}
	for _, preset := range []string{"llama-server", "ollama"} {
		if _, err := exec.LookPath(preset); err == nil {
			return preset, nil
		}
	}
	e := &spec.Error{Code: spec.CodeEngineUnavailable, Message: "this machine has no engine: neither llama-server nor ollama is on the PATH", Err: missing}
	var why *spec.Error
	if errors.As(missing, &why) {
		e.Message = "this machine has no engine: " + why.Message + "; and neither llama-server nor ollama is on the PATH"
		e.Hint = why.Hint + "; or install llama-server or ollama"
		e.Err = nil
	}
	return "", e
}
