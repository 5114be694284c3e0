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

// hdrAgain asks for a chunk that came wrong: the holder looks whether it has it right.
const hdrAgain = "Lotabots-Again"

// A Source has models' chunks.
type Source interface {
	Has(digest []byte) bool
	// Chunks tells which chunks are here, also of a model that is on its way; nil: none.
	Chunks(m *wire.Model) []bool
	// ReadPieces calls use with a chunk's pieces, in order, each of which is good until use
	// returns. It ends with use's error. A chunk that is not here is spec.CodeNotFound.
	ReadPieces(m *wire.Model, i int, again bool, use func(piece []byte) error) error
	// LendChunk calls use with a chunk, which is good until use returns. again: it was
	// asked for before and came wrong.
	LendChunk(m *wire.Model, i int, again bool, use func(b []byte)) error
}

// Handler serves what src holds of the models that the state knows. metrics may be nil.
func Handler(src Source, models func(name string) (*wire.Model, bool), metrics *Metrics) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /blob/{model}/{chunk}", func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, src, models, metrics)
	})
	return mux
}

func serve(w http.ResponseWriter, r *http.Request, src Source, models func(string) (*wire.Model, bool), metrics *Metrics) {
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
	err = src.LendChunk(m, i, r.Header.Get(hdrAgain) != "", func(b []byte) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		n, _ := w.Write(b)
		metrics.out(n)
	})
	if err != nil {
		if spec.CodeOf(err) == spec.CodeModelDamaged {
			metrics.Damaged("disk", 1)
		}
		http.Error(w, "the chunk cannot be read here", spec.CodeOf(err).Lookup().Status)
	}
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
