package blob

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func ask(h http.Handler, method, path, digest string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://n1/", nil)
	r.URL.Path, r.RequestURI = path, path
	if u, err := url.ParseRequestURI(path); err == nil {
		r.URL = u
	}
	r.Header.Set(hdrDigest, digest)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheHandlersAnswers(t *testing.T) {
	m, raw := model("a/b c%?#", 3)
	h := Handler(newMemory(raw), knows(m), nil)
	whole := hexOf(m.Digest)
	path := strings.TrimPrefix(chunkURL("n1", m.Name, 0), "http://n1")
	path = path[:len(path)-1]
	for name, c := range map[string]struct {
		method, path, digest string
		status               int
	}{
		"the first":        {"GET", path + "0", whole, 200},
		"the last":         {"GET", path + "2", whole, 200},
		"one too many":     {"GET", path + "3", whole, 400},
		"negative":         {"GET", path + "-1", whole, 400},
		"no number":        {"GET", path + "x", whole, 400},
		"huge":             {"GET", path + "99999999999999999999", whole, 400},
		"no digest":        {"GET", path + "0", "", 400},
		"odd digest":       {"GET", path + "0", "xyz", 400},
		"another digest":   {"GET", path + "0", "abcd", 409},
		"another name":     {"GET", "/blob/other/0", whole, 404},
		"another method":   {"POST", path + "0", whole, 405},
		"another path":     {"GET", "/blob/x", whole, 404},
		"out of the store": {"GET", "/blob/..%2f..%2fetc/0", whole, 404},
	} {
		w := ask(h, c.method, c.path, c.digest)
		if w.Code != c.status {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, c.status)
		}
	}
	if w := ask(h, "GET", path+"2", whole); !bytes.Equal(w.Body.Bytes(), raw[2*testChunk:]) || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
		t.Errorf("the last chunk has %d bytes", w.Body.Len())
	}
	if w := ask(Handler(newMemory(), knows(m), nil), "GET", path+"0", whole); w.Code != 404 {
		t.Errorf("a node without the file: %d", w.Code)
	}
}

type rotten struct {
	Source
	err error
}

func (rotten) Has([]byte) bool { return true }
func (r rotten) LendChunk(*wire.Model, int, bool, func([]byte)) error {
	return r.err
}

func TestAHolderKeepsItsTroublesToItself(t *testing.T) {
	m, _ := model("small", 3)
	for _, c := range []struct {
		err    error
		status int
	}{{spec.Errorf(spec.CodeModelDamaged, "/secret is damaged"), 502}, {errors.New("/secret: I/O error"), 500}} {
		w := ask(Handler(rotten{err: c.err}, knows(m), nil), "GET", "/blob/small/0", hexOf(m.Digest))
		if w.Code != c.status || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
}

func FuzzHandler(f *testing.F) {
	m, raw := model("small", 3)
	h := Handler(newMemory(raw), knows(m), nil)
	f.Add("small", "0", hexOf(m.Digest))
	f.Add("..", "1", "00")
	f.Add("a/../small", "+1", "")
	f.Fuzz(func(t *testing.T, name, chunk, digest string) {
		w := ask(h, "GET", "/blob/"+url.PathEscape(name)+"/"+url.PathEscape(chunk), digest)
		if w.Code != 200 {
			return
		}
		i, err := strconv.Atoi(chunk)
		if err != nil || i < 0 || i > 2 || name != "small" || !strings.EqualFold(digest, hexOf(m.Digest)) {
			t.Fatalf("%q %q %q was answered", name, chunk, digest)
		}
		if want := raw[i*testChunk : min((i+1)*testChunk, len(raw))]; !bytes.Equal(w.Body.Bytes(), want) {
			t.Fatalf("chunk %d is another", i)
		}
	})
}

func FuzzChunkIndex(f *testing.F) {
	f.Add("0", 1)
	f.Add("2147483648", 1<<31-1)
	f.Add("-1", 0)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if i, err := chunkIndex(s, n); err == nil && (i < 0 || i >= n) {
			t.Fatalf("%q of %d became %d", s, n, i)
		} else if err != nil && spec.CodeOf(err) != spec.CodeInvalidRequest {
			t.Fatal(err)
		}
	})
}
