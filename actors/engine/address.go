package engine

import (
	"mime"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/form"
)

// knownAs is what a driver has whose program may know its model by another name than the deployment's;
// empty: it knows that one, or takes any.
type knownAs interface{ knownAs() string }

const kserveModels = "/v2/models/"

// kserves tells whether the path is one of KServe's protocol, which names the model itself.
func kserves(path string) bool { return strings.HasPrefix(path, kserveModels) }

func isJSON(told string) bool {
	if told == "application/json" {
		return true
	}
	kind, _, err := mime.ParseMediaType(told)
	return err == nil && kind == "application/json"
}

// addressed has a request that is not one JSON object ask for the model by that name: in the path, as KServe
// has it, or in the field of a form. An adapter cannot be asked for so.
func addressed(path string, head *Head, body []byte, name string) (string, []byte, error) {
	if head.Adapter != "" {
		return "", nil, spec.Errorf(spec.CodeUnsupported, "adapters are not served at %s", path)
	}
	if name == "" {
		return path, body, nil
	}
	if rest, ok := strings.CutPrefix(path, kserveModels); ok {
		if _, after, more := strings.Cut(rest, "/"); more {
			name += "/" + after
		}
		return kserveModels + name, body, nil
	}
	spliced, err := form.WithValue(head.ContentType, body, "model", name)
	if err != nil {
		return "", nil, &spec.Error{Code: spec.CodeInvalidRequest, Message: "the form could not be read: " + err.Error(), Err: err}
	}
	return path, spliced, nil
}
