package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
)

const sessions = 10_000

// issue makes sessions and their access tokens.
func issue(now time.Time) (*auth.Table, []byte, [][]byte, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, nil, err
	}
	keys, err := json.Marshal(spec.SigningKeys{Keys: []spec.SigningKey{{ID: "k1", Public: public}}})
	if err != nil {
		return nil, nil, nil, err
	}
	var open []*wire.Session
	var tokens [][]byte
	for i := range sessions {
		id := fmt.Sprintf("session-%d", i)
		open = append(open, &wire.Session{Id: id, User: "u", ExpiresMs: now.Add(time.Hour).UnixMilli()})
		t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"iss": spec.TokenIssuer, "aud": "bench", "sub": "u", "sid": id, "epoch": 0,
			"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()})
		t.Header["kid"] = "k1"
		text, err := t.SignedString(private)
		if err != nil {
			return nil, nil, nil, err
		}
		tokens = append(tokens, []byte(text))
	}
	table := auth.New("bench")
	err = table.Load(auth.Records{Users: slices.Values([]*wire.User{{Id: "u", Name: "u", Tenant: "t"}}), Sessions: slices.Values(open), Signing: keys})
	return table, keys, tokens, err
}

func measureTokens(rounds int) ([]figure, error) {
	now := time.Now()
	table, keys, tokens, err := issue(now)
	if err != nil {
		return nil, err
	}
	ms := now.UnixMilli()
	var failed spec.Code
	ask := func(i int) {
		if _, code := table.Identify(tokens[i%sessions], ms); code != "" {
			failed = code
		}
	}
	const few = 20
	var fresh, known, hash []float64
	var sink byte
	for r := range rounds * 20 {
		if err := table.SetSigning(keys); err != nil { // what was proven under the keys before is proven anew
			return nil, err
		}
		first := r * few
		fresh = append(fresh, per(few, func(i int) { ask(first + i) }))
		known = append(known, per(5*few, func(i int) { ask(first + i%few) }))
		hash = append(hash, per(5*few, func(i int) { sum := sha256.Sum256(tokens[(first+i%few)%sessions]); sink ^= sum[0] }))
	}
	allocs := testing.AllocsPerRun(1000, func() { ask((rounds*20 - 1) * few) })
	if failed != "" {
		return nil, fmt.Errorf("a token is refused: %s", failed)
	}
	_ = sink
	return []figure{
		{"token_first_time", median(fresh), "ns/op", "", true},
		{"token_known", median(known), "ns/op", "", true},
		{"sha256_of_the_token", median(hash), "ns/op", "", true},
		{"token_known_allocations", allocs, "allocs/op", "<= 0", allocs == 0},
		{"token_first_time_over_known", median(fresh) / median(known), "x", ">= 10", median(fresh)/median(known) >= 10},
	}, nil
}
