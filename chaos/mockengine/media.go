package mockengine

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// transcribe answers how long the file is and what it is called.
func (e *Engine) transcribe(w http.ResponseWriter, r *http.Request, _ bool) bool {
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
	if r.FormValue("response_format") == "text" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err = io.WriteString(w, text+"\n")
		return err == nil
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = fmt.Fprintf(w, `{"text":%s,"usage":{"type":"tokens","input_tokens":%d,"output_tokens":4,"total_tokens":%d}}`, quoted(text), n, n+4)
	return err == nil
}

// speak answers bytes that begin as an MP3 does and end with the text.
func (e *Engine) speak(w http.ResponseWriter, r *http.Request, _ bool) bool {
	var q struct{ Input string }
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
	if err == nil {
		err = json.Unmarshal(raw, &q)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "not a request: "+err.Error())
		return true
	}
	w.Header().Set("Content-Type", "audio/mpeg")
	_, err = io.WriteString(w, "ID3\x04"+q.Input)
	return err == nil
}
