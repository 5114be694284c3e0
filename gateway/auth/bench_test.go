package auth

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lotabots/lotabots/gateway/access"
)

// million is a table of a million keys, and their texts one after the other: what
// is fetched at random is the table, not the questions.
var million = sync.OnceValues(func() (*Table, []byte) {
	table, texts := full(1_000_000)
	rand.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	return table, bytes.Join(texts, nil)
})

var zero uintptr // always, which the compiler does not know

// BenchmarkIdentify checks keys among a million, at random, each when the one
// before is done; beside-sha256 is without hashing the secret. See also make bench-auth.
func BenchmarkIdentify(b *testing.B) {
	table, texts := million()
	const size = len(prefix) + idLen + 1 + secretLen + checkLen
	at := func(i int) []byte { return texts[i%1_000_000*size:][:size] }
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		who, code := table.Identify(at(i), 1)
		if code != "" {
			b.Fatal(code)
		}
		i += 1 + int(uintptr(unsafe.Pointer(who))&zero)
	}
	checks := b.Elapsed()
	began := time.Now()
	for i := 0; i < b.N; {
		sum := Hash(at(i)[len(prefix)+idLen+1:][:secretLen])
		i += 1 + int(uintptr(sum[0])&zero)
	}
	b.ReportMetric(float64(checks-time.Since(began))/float64(b.N), "beside-sha256-ns/op")
}

func BenchmarkHash(b *testing.B) {
	secret := make([]byte, secretLen)
	for b.Loop() {
		sum := Hash(secret)
		secret[0] = sum[0]
	}
}

func BenchmarkParse(b *testing.B) {
	text, _, _ := NewText()
	for b.Loop() {
		if _, ok := Parse([]byte(text)); !ok {
			b.Fatal("no key")
		}
	}
}

// BenchmarkPutKey changes one key of a million.
func BenchmarkPutKey(b *testing.B) {
	table, _ := million()
	_, k := newKey()
	b.ReportAllocs()
	for b.Loop() {
		table.PutKey(k)
	}
	table.RemoveKey(k.Id)
}

func BenchmarkIdentifyKnownToken(b *testing.B) {
	i := newIssuer(b, "k1")
	table, text := inSessions(b, i), i.token()
	b.ReportAllocs()
	for b.Loop() {
		if _, code := table.Identify(text, start); code != "" {
			b.Fatal(code)
		}
	}
}

func BenchmarkIdentifyNewToken(b *testing.B) {
	i := newIssuer(b, "k1")
	table, text := inSessions(b, i), i.token(func(c jwt.MapClaims) { c["jti"] = "x" })
	s := table.now.Load()
	for b.Loop() {
		if _, code := s.signing.prove(string(text), "c1", start); code != "" {
			b.Fatal(code)
		}
	}
}

// BenchmarkMay asks for a user with a hundred roles of five permissions.
func BenchmarkMay(b *testing.B) {
	table := manyRoles(100)
	who, _ := table.Subject("user:u")
	last := access.Resource{Kind: access.KindModel, Name: "team-99-llama", Tenant: "t"}
	b.ReportAllocs()
	for b.Loop() {
		if !who.May(access.Infer, last) {
			b.Fatal("may not")
		}
	}
}
