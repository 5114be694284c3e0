package api

import (
	_ "embed"
	"encoding/json"
	"sync"

	"gopkg.in/yaml.v3"
)

//go:embed openapi.yaml
var source []byte

// YAML is the description as it was written.
func YAML() []byte { return source }

// JSON is the description as JSON. It must not be changed.
var JSON = sync.OnceValue(func() []byte {
	var doc any
	if err := yaml.Unmarshal(source, &doc); err != nil {
		panic("openapi.yaml: " + err.Error()) // a test reads it
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic("openapi.yaml: " + err.Error())
	}
	return b
})
