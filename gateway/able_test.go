package gateway_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/balance"
)

// able puts a node with an instance of the deployment that can and cannot so much.
func (r *rig) able(node, deployment string, can, cannot spec.Ability) {
	r.g.Table().PutMember(balance.Member{Node: spec.NodeID(node), Region: "north"})
	r.g.Table().Observe(&wire.LoadDigest{Node: node, Boot: r.boot, Devices: []*wire.DeviceLoad{{
		Device: "cpu/" + node, Seq: digests.Add(1), Instances: []*wire.InstanceLoad{{Instance: "i-" + node, Deployment: deployment, Version: 1,
			State: wire.InstanceState_INSTANCE_STATE_READY, Slots: 4, Can: uint32(can), Cannot: uint32(cannot), Context: 4096}}}}}, time.Now())
}

// TestWhatTheModelCannot: a request that no instance can serve is refused with a
// name of one that could; what nobody knows goes to the engine.
func TestWhatTheModelCannot(t *testing.T) {
	r := newRig(t)
	r.engines.add("n1", whole)
	r.state.addDeployment("own", "t1")
	r.tellState()
	const chat = `{"model":"m","messages":[{"role":"user","content":`
	image := chat + `[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:,"}}]}]}`
	known := spec.AbleChat | spec.AbleComplete
	for _, c := range []struct {
		name, path, body string
		cannot           spec.Ability
		param            string // empty: it passes
	}{
		{"nothing special", "/v1/chat/completions", chatBody, spec.AbleTools | spec.AbleImages, ""},
		{"an endpoint", "/v1/embeddings", `{"model":"m","input":"x"}`, spec.AbleEmbed, "model"},
		{"an endpoint that is not known", "/v1/rerank", `{"model":"m","query":"x","documents":["y"]}`, spec.AbleEmbed, ""},
		{"images", "/v1/chat/completions", image, spec.AbleImages, "messages[0].content"},
		{"images that are not known", "/v1/chat/completions", image, spec.AbleTools, ""},
		{"tools", "/v1/chat/completions", chat + `"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}`, spec.AbleTools, "tools"},
		{"no tools", "/v1/chat/completions", chat + `"x"}],"tools":[]}`, spec.AbleTools, ""},
		{"a schema", "/v1/chat/completions", chat + `"x"}],"response_format":{"type":"json_schema","json_schema":{}}}`, spec.AbleSchema, "response_format"},
		{"JSON of any kind", "/v1/chat/completions", chat + `"x"}],"response_format":{"type":"json_object"}}`, spec.AbleSchema, ""},
		{"logprobs", "/v1/completions", `{"model":"m","prompt":"x","logprobs":2}`, spec.AbleLogprobs, "logprobs"},
		{"no logprobs", "/v1/chat/completions", chat + `"x"}],"logprobs":false}`, spec.AbleLogprobs, ""},
		{"speech", "/v1/chat/completions", chat + `"x"}],"modalities":["text","audio"]}`, spec.AbleAudio, "modalities"},
		{"sound", "/v1/chat/completions", chat + `[{"type":"input_audio","input_audio":{"data":"AA=="}}]}]}`, spec.AbleAudio, "messages[0].content"},
	} {
		r.able("n1", "m", known&^c.cannot, c.cannot)
		r.able("n2", "own", spec.Ability(1<<16-1), 0)
		res, body := r.do(r.infer, "POST", c.path, c.body)
		if c.param == "" {
			if res.StatusCode != 200 {
				t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
			}
			continue
		}
		if res.StatusCode != 400 || codeOf(t, body) != "unsupported_by_model" || !strings.Contains(body, `"param":"`+c.param+`"`) ||
			!strings.Contains(body, "such as own.") {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
		}
	}
}

func TestModelsTellWhatTheyCan(t *testing.T) {
	r := newRig(t)
	model := func() (out struct {
		Capabilities []string `json:"capabilities"`
		Context      int      `json:"max_model_len"`
	}) {
		_, body := r.do(r.infer, "GET", "/v1/models/m", "")
		if err := json.Unmarshal([]byte(body), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if m := model(); m.Capabilities != nil || m.Context != 0 {
		t.Errorf("nothing is known: %+v", m)
	}
	r.able("n1", "m", spec.AbleChat|spec.AbleTools|spec.AbleSleep, spec.AbleImages)
	if m := model(); !slices.Equal(m.Capabilities, []string{"chat", "tools"}) || m.Context != 4096 {
		t.Errorf("%+v", m)
	}
}

// TestWhatCannotFit: a prompt that no instance's context holds for certain is refused with the limit, in the client's words; what
// may fit, and what the engine is asked to cut, is the engine's to judge.
func TestWhatCannotFit(t *testing.T) {
	r := newRig(t)
	asked := 0
	r.engines.add("n1", func(w http.ResponseWriter, req *http.Request) { asked++; whole(w, req) })
	long, ids := strings.Repeat("word ", 900_000), "1"+strings.Repeat(",1", 4096)
	for _, c := range []struct{ path, body, param string }{
		{"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"` + long + `"}]}`, "messages"},
		{"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"` + long[:4<<20] + `"}]}`, ""},
		{"/v1/chat/completions", `{"model":"m","truncate_prompt_tokens":5,"messages":[{"role":"user","content":"` + long + `"}]}`, ""},
		{"/v1/messages", `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"` + long + `"}]}`, "messages"},
		{"/v1/responses", `{"model":"m","input":"` + long + `"}`, "input"},
		{"/v1/completions", `{"model":"m","prompt":[` + ids + `]}`, "prompt"},
		{"/v1/completions", `{"model":"m","prompt":[` + ids[2:] + `]}`, ""},
		{"/v1/embeddings", `{"model":"m","input":["` + long[:5<<19] + `","` + long[:5<<19] + `"]}`, ""},
		{"/v1/embeddings", `{"model":"m","input":[[1],[` + ids + `]]}`, "input"},
	} {
		r.able("n1", "m", spec.AbleChat|spec.AbleComplete|spec.AbleEmbed, 0)
		asked = 0
		res, body := r.do(r.infer, "POST", c.path, c.body)
		if c.param == "" {
			if res.StatusCode != 200 || asked != 1 {
				t.Errorf("%s %.60s: %d %s", c.path, c.body, res.StatusCode, body)
			}
			continue
		}
		if res.StatusCode != 400 || codeOf(t, body) != "context_length_exceeded" || !strings.Contains(body, `"param":"`+c.param+`"`) || !strings.Contains(body, "is of 4096") || asked != 0 {
			t.Errorf("%s %.60s: %d %s", c.path, c.body, res.StatusCode, body)
		}
	}
}
