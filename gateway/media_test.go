package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

const soundType = "multipart/form-data; boundary=B"

const soundForm = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\x00\r\n-\r\n" +
	"--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--B--\r\n"

// sees answers with what the engine was asked.
func sees(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	h := req.Header
	if h.Get(spec.HeadLengthHeader) != "" {
		w.Header().Set(spec.HeadLengthHeader, "4")
	}
	w.Header().Set("Content-Type", "text/x-seen")
	_, _ = io.WriteString(w, strings.Join([]string{req.Method, req.URL.Path, h.Get("Content-Type"), h.Get(spec.HeadLengthHeader), string(body)}, "|"))
}

// TestFormsAndTensorsPassUntouched: to the byte, by the path, method and type that they came with.
func TestFormsAndTensorsPassUntouched(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, sees)
	const tensors = "{\"inputs\":[]}\x00\x01\xff"
	for _, c := range []struct{ method, path, kind, head, body, want string }{
		{"POST", "/v1/audio/transcriptions", soundType, "", soundForm, "POST|/v1/audio/transcriptions|" + soundType + "||" + soundForm},
		{"POST", "/v1/audio/translations", soundType, "", soundForm, "POST|/v1/audio/translations|" + soundType + "||" + soundForm},
		{"POST", "/v1/audio/speech", "application/json", "", `{"model":"m", "input":"x"}`, `POST|/v1/audio/speech|application/json||{"model":"m", "input":"x"}`},
		{"POST", "/v2/models/m/infer", "application/octet-stream", "13", tensors, "POST|/v2/models/m/infer|application/octet-stream|13|" + tensors},
		{"POST", "/v2/models/m/versions/7/infer", "application/json", "", "not read here", "POST|/v2/models/m/versions/7/infer|application/json||not read here"},
		{"GET", "/v2/models/m/versions/7", "", "", "", "GET|/v2/models/m/versions/7|application/json||"},
	} {
		headers := []string{"Content-Type", c.kind}
		if c.head != "" {
			headers = append(headers, spec.HeadLengthHeader, c.head)
		}
		r.tell("n1", 4, 0)
		res, body := r.do(r.infer, c.method, c.path, c.body, headers...)
		if res.StatusCode != 200 || body != c.want || res.Header.Get("Content-Type") != "text/x-seen" || (res.Header.Get(spec.HeadLengthHeader) == "4") != (c.head != "") {
			t.Errorf("%s %s: %d %q, %v", c.method, c.path, res.StatusCode, body, res.Header)
		}
	}
	if c := r.engines.last(); c.Stream || c.Deployment != "m" || c.Key != "infxxxx" {
		t.Errorf("%+v", c)
	}
}

// TestSoundComesAsItIsMade, and so do the events of a transcription.
func TestSoundComesAsItIsMade(t *testing.T) {
	r := newRig(t)
	more := make(chan struct{})
	r.node("n1", "north", 4, func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		w.Header().Set("Content-Type", "audio/mpeg")
		if strings.HasSuffix(req.URL.Path, "transcriptions") {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		_, _ = io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-more
		_, _ = io.WriteString(w, "data: 2\n\n")
	})
	stream := strings.Replace(soundForm, "--B--", "--B\r\nContent-Disposition: form-data; name=stream\r\n\r\ntrue\r\n--B--", 1)
	for path, c := range map[string][2]string{"/v1/audio/speech": {"application/json", `{"model":"m","input":"x"}`}, "/v1/audio/transcriptions": {soundType, stream}} {
		r.tell("n1", 4, 0)
		res, err := r.send(t.Context(), r.infer, "POST", path, c[1], "Content-Type", c[0])
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, len("data: 1\n\n"))
		if _, err := io.ReadFull(res.Body, first); err != nil {
			t.Fatalf("%s: %q, %v", path, first, err)
		}
		select {
		case more <- struct{}{}:
		case <-time.After(30 * time.Second):
			t.Fatal("the engine is not waiting")
		}
		rest, err := io.ReadAll(res.Body)
		res.Body.Close()
		if string(rest) != "data: 2\n\n" || err != nil {
			t.Errorf("%s: %q, %v", path, rest, err)
		}
	}
}

// TestKServeErrors are told in its clients' form.
func TestKServeErrors(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, sees)
	for _, c := range []struct {
		key, method, path, head string
		status                  int
		code                    string
	}{
		{r.infer, "POST", "/v2/models/none/infer", "", 404, "model_not_found"},
		{r.infer, "POST", "/v2/models/m/infer", "99", 400, "invalid_request"},
		{r.infer, "POST", "/v2/models/m/infer", "x", 400, "invalid_request"},
		{r.infer, "POST", "/v2/models/m/versions/one/infer", "", 400, "invalid_request"},
		{"lb-no-such", "POST", "/v2/models/m/infer", "", 401, "invalid_api_key"},
		{"", "GET", "/v2/models/m/ready", "", 401, "missing_api_key"},
	} {
		var headers []string
		if c.head != "" {
			headers = []string{spec.HeadLengthHeader, c.head}
		}
		res, body := r.do(c.key, c.method, c.path, "{}", headers...)
		if res.StatusCode != c.status || !strings.HasPrefix(body, `{"error":"`) || fieldOf(t, body, "code") != c.code || fieldOf(t, body, "request_id") == "" {
			t.Errorf("%s: %d %s", c.path, res.StatusCode, body)
		}
	}
	if res, body := r.do("", "GET", "/v2/health/ready", ""); res.StatusCode != 200 || body != "{\"ready\":true}\n" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	r.able("n1", "m", spec.AbleChat, spec.AbleKServe|spec.AbleTranscribe)
	if res, body := r.do(r.infer, "POST", "/v2/models/m/infer", "{}"); res.StatusCode != 400 || fieldOf(t, body, "code") != "unsupported_by_model" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := r.do(r.infer, "POST", "/v1/audio/transcriptions", soundForm, "Content-Type", soundType); res.StatusCode != 400 || codeOf(t, body) != "unsupported_by_model" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := r.do(r.infer, "POST", "/v1/audio/transcriptions", chatBody); res.StatusCode != 415 || codeOf(t, body) != "unsupported_media_type" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// TestErrorsBeforeAnOperation is known are in the form of the path that was asked.
func TestErrorsBeforeAnOperation(t *testing.T) {
	r := newRig(t)
	for path, begins := range map[string]string{
		"/v2": `{"error":"`, "/v2/models/m": `{"error":"`, "/v2/models/m/nothing": `{"error":"`, "/v2/health/live?x": `{"error":"`,
		"/v2/rerank": `{"error":{"message":`, "/v2/modelsx": `{"error":{"message":`, "/v1/models": `{"error":{"message":`, "/v1/messages?beta=true": `{"type":"error",`,
	} {
		for _, c := range [][2]string{{"Accept-Encoding", "*;q=0"}, {"X-Large", strings.Repeat("x", 20<<10)}, {"Content-Length", strings.Repeat("9", 30)}} {
			answer, _ := r.raw("GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+c[0]+": "+c[1]+"\r\n\r\n", 20*time.Second)
			if _, body, _ := strings.Cut(answer, "\r\n\r\n"); !strings.HasPrefix(body, begins) || !strings.Contains(body, `"hint"`) {
				t.Errorf("%s with %s: %s", path, c[0], answer)
			}
		}
	}
}
