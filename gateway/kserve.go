package gateway

import (
	"net/url"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/openai"
)

// kserveOperations is KServe's inference protocol, version 2, as Triton speaks it. A
// deployment is a model; its engine is asked for all but whether it is ready.
func kserveOperations() []Operation {
	const model = "/v2/models/{model}"
	const version = model + "/versions/{version}"
	return []Operation{
		{Method: get, Path: "/v2", ID: "kserveServer", Open: true, errors: kserveErrors, serve: kserveServer},
		{Method: get, Path: "/v2/health/live", ID: "kserveLive", Open: true, errors: kserveErrors, serve: kserveLive},
		{Method: get, Path: "/v2/health/ready", ID: "kserveReady", Open: true, errors: kserveErrors, serve: kserveReady},
		{Method: get, Path: model, ID: "kserveModel", Verb: access.Infer, errors: kserveErrors, serve: tensors("")},
		{Method: get, Path: model + "/ready", ID: "kserveModelReady", Verb: access.ModelsList, errors: kserveErrors, serve: kserveModelReady},
		{Method: post, Path: model + "/infer", ID: "kserveInfer", Verb: access.Infer, errors: kserveErrors, serve: tensors("/infer")},
		{Method: get, Path: version, ID: "kserveVersion", Verb: access.Infer, errors: kserveErrors, serve: tensors("")},
		{Method: get, Path: version + "/ready", ID: "kserveVersionReady", Verb: access.ModelsList, errors: kserveErrors, serve: kserveModelReady},
		{Method: post, Path: version + "/infer", ID: "kserveVersionInfer", Verb: access.Infer, errors: kserveErrors, serve: tensors("/infer")},
	}
}

// tensors asks the model's engine at the path of its protocol that ends so.
func tensors(end string) operation {
	return func(r *request) error {
		x := newInferring()
		x.endpoint, x.path = openai.KServe, func(d *deployment) string {
			path := "/v2/models/" + url.PathEscape(d.GetName())
			if v := r.param("version"); v != "" {
				path += "/versions/" + url.PathEscape(v)
			}
			return path + end
		}
		return r.infer(x)
	}
}

func kserveServer(r *request) error {
	return r.json(200, struct {
		Name       string   `json:"name"`
		Version    string   `json:"version"`
		Extensions []string `json:"extensions"`
	}{"lotabots", r.g.cfg.Version, []string{"binary_tensor_data"}})
}

func kserveLive(r *request) error {
	return r.json(200, struct {
		Live bool `json:"live"`
	}{true})
}

func kserveReady(r *request) error {
	if err := r.g.readiness(); err != nil {
		return err
	}
	return r.json(200, struct {
		Ready bool `json:"ready"`
	}{true})
}

func kserveModelReady(r *request) error {
	d, err := r.listed([]byte(r.param("model")))
	if err != nil {
		return err
	}
	if !r.who.Lists(d.model(), d.GetTenant()) {
		return forbidden(d)
	}
	if _, ready := r.g.table.Candidates(d.GetName()); ready == 0 {
		return spec.Errorf(spec.CodeNotReady, "No instance of the model %q is ready.", d.model())
	}
	return r.json(200, struct {
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	}{d.model(), true})
}
