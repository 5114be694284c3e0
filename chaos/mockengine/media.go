package mockengine

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const maxMedia = 64 << 20

// transcribe answers how long the file is and what it is called, in the form that is asked for.
func (e *Engine) transcribe(w http.ResponseWriter, r *http.Request, hit bool) bool {
	file, header, err := r.FormFile("file")
	if err != nil {
		fail(w, http.StatusBadRequest, "no file: "+err.Error())
		return true
	}
	defer file.Close()
	n, err := io.Copy(io.Discard, file)
	if err != nil {
		fail(w, http.StatusBadRequest, "no whole file: "+err.Error())
		return true
	}
	text := fmt.Sprintf("%d bytes of %s", n, header.Filename)
	if r.FormValue("stream") == "true" {
		return e.transcribeStream(w, r, text, hit)
	}
	if !pause(r, e.config.FirstToken) {
		return false
	}
	if r.FormValue("response_format") == "text" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err = io.WriteString(w, text+"\n")
		return err == nil
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = fmt.Fprintf(w, `{"text":%s,"model":%s,"usage":{"type":"tokens","input_tokens":%d,"output_tokens":4,"total_tokens":%d}}`, quoted(text), quoted(r.FormValue("model")), n, n+4)
	return err == nil
}

// transcribeStream sends a word at a time, as OpenAI does: the last event has it all, and no [DONE] follows.
func (e *Engine) transcribeStream(w http.ResponseWriter, r *http.Request, text string, hit bool) bool {
	w.Header().Set("Content-Type", "text/event-stream")
	for i, word := range strings.SplitAfter(text, " ") {
		if !pause(r, e.config.Interval) {
			return false
		}
		if hit && e.config.Faults.Cut > 0 && i > 0 {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "data: {\"type\":\"transcript.text.delta\",\"delta\":%s}\n\n", quoted(word))
		_ = http.NewResponseController(w).Flush()
	}
	_, err := fmt.Fprintf(w, "data: {\"type\":\"transcript.text.done\",\"text\":%s}\n\n", quoted(text))
	return err == nil
}

// speak answers bytes that begin as an MP3 does and end with the text, a word at a time.
func (e *Engine) speak(w http.ResponseWriter, r *http.Request, hit bool) bool {
	var q struct{ Input string }
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMedia))
	if err == nil {
		err = json.Unmarshal(raw, &q)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "not a request: "+err.Error())
		return true
	}
	w.Header().Set("Content-Type", "audio/mpeg")
	for i, word := range append([]string{"ID3\x04"}, strings.SplitAfter(q.Input, " ")...) {
		if i > 0 && !pause(r, e.config.Interval) {
			return false
		}
		if hit && e.config.Faults.Cut > 0 && i > 0 {
			panic(http.ErrAbortHandler)
		}
		if _, err = io.WriteString(w, word); err != nil {
			return false
		}
		_ = http.NewResponseController(w).Flush()
	}
	return true
}

// draw answers with the smallest picture there is.
func (e *Engine) draw(w http.ResponseWriter, r *http.Request, _ bool) bool {
	if _, ok := read(w, r); !ok {
		return true
	}
	w.Header().Set("Content-Type", "application/json")
	_, err := fmt.Fprintf(w, `{"created":%d,"data":[{"b64_json":"R0lGODlhAQABAAAAACw="}]}`, time.Now().Unix())
	return err == nil
}

// kserve speaks KServe's protocol, version 2: its tensors are those that it was sent.
func (e *Engine) kserve(mux *http.ServeMux) {
	for _, at := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		mux.HandleFunc("GET "+at, e.counted(func(w http.ResponseWriter, r *http.Request, _ bool) bool {
			w.Header().Set("Content-Type", "application/json")
			_, err := fmt.Fprintf(w, `{"name":%q,"versions":["1"],"platform":"mock","inputs":[{"name":"IN","datatype":"BYTES","shape":[-1]}],"outputs":[{"name":"OUT","datatype":"BYTES","shape":[-1]}]}`, r.PathValue("model"))
			return err == nil
		}))
		mux.HandleFunc("POST "+at+"/infer", e.counted(e.inferTensors))
	}
}

func (e *Engine) inferTensors(w http.ResponseWriter, r *http.Request, _ bool) bool {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMedia))
	if err != nil {
		return false
	}
	const headLength = "Inference-Header-Content-Length"
	head, tensors := raw, []byte(nil)
	if told := r.Header.Get(headLength); told != "" {
		n, err := strconv.Atoi(told)
		if err != nil || n < 0 || n > len(raw) {
			failKServe(w, "the header's length is wrong")
			return true
		}
		head, tensors = raw[:n], raw[n:]
	}
	var q struct {
		ID     string            `json:"id"`
		Inputs []json.RawMessage `json:"inputs"`
	}
	if err := json.Unmarshal(head, &q); err != nil || len(q.Inputs) == 0 {
		failKServe(w, "no inputs")
		return true
	}
	answer, _ := json.Marshal(map[string]any{"model_name": r.PathValue("model"), "model_version": "1", "id": q.ID, "outputs": q.Inputs})
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get(headLength) != "" {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set(headLength, strconv.Itoa(len(answer)))
	}
	_, err = w.Write(append(answer, tensors...))
	return err == nil
}

func failKServe(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"error":%q}`, message)
}
