package blob

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// hdrDigest carries the model's digest in hex: a name may have been given to
// other bytes in the meantime, a digest never.
const hdrDigest = "Lotabots-Digest"

// A Source has models' chunks.
type Source interface {
	Has(digest []byte) bool
	ReadChunk(m *wire.Model, i int) ([]byte, error)
}

// Handler serves what src holds of the models that the state knows.
func Handler(src Source, models func(name string) (*wire.Model, bool)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /blob/{model}/{chunk}", func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, src, models)
	})
	return mux
}

func serve(w http.ResponseWriter, r *http.Request, src Source, models func(string) (*wire.Model, bool)) {
	digest, err := hex.DecodeString(r.Header.Get(hdrDigest))
	if err != nil || len(digest) == 0 {
		http.Error(w, "the request names no digest", http.StatusBadRequest)
		return
	}
	m, ok := models(r.PathValue("model"))
	if !ok {
		http.Error(w, "this node knows no such model", http.StatusNotFound)
		return
	}
	if !bytes.Equal(m.Digest, digest) {
		http.Error(w, "the model has another digest here", http.StatusConflict)
		return
	}
	i, err := chunkIndex(r.PathValue("chunk"), len(m.Chunks))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !src.Has(digest) {
		http.Error(w, "this node does not hold the model", http.StatusNotFound)
		return
	}
	b, err := src.ReadChunk(m, i)
	if err != nil {
		http.Error(w, "the chunk cannot be read here", spec.CodeOf(err).Lookup().Status)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}

// chunkIndex parses a chunk's number, which must be below n.
func chunkIndex(s string, n int) (int, error) {
	i, err := strconv.ParseUint(s, 10, 31)
	if err != nil || int(i) >= n {
		return 0, spec.Errorf(spec.CodeInvalidRequest, "the model has chunks 0 to %d", n-1)
	}
	return int(i), nil
}

func chunkURL(node spec.NodeID, model string, i int) string {
	return "http://" + string(node) + "/blob/" + url.PathEscape(model) + "/" + strconv.Itoa(i)
}
