package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
)

const tenants = 1000

// texts are keys' texts one after the other, in the order in which they are
// asked for: so that what misses the CPU's caches is the table, not its questions.
type texts struct {
	all  []byte
	size int // of each
}

func (t *texts) at(i int) []byte { return t.all[i*t.size : (i+1)*t.size] }

// secretOf is where the secret stands: before six check characters.
func secretOf(text []byte) []byte { return text[len(text)-38 : len(text)-6] }

func keyNumber(i int, id string, hash []byte) *wire.APIKey {
	return &wire.APIKey{Id: id, Tenant: "tenant-" + strconv.Itoa(i%tenants), Name: "key number " + strconv.Itoa(i),
		Hash: hash, Scopes: []string{"infer"}, CreatedMs: int64(i), CreatedBy: "user/bench"}
}

// fill loads a table and says what a key takes there.
func fill(n int) (*auth.Table, *texts, float64, error) {
	asked := &texts{}
	order := rand.Perm(n)
	made := func(yield func(*wire.APIKey) bool) {
		for i := range n {
			text, id, hash := auth.NewText()
			if asked.size == 0 {
				asked.size = len(text)
				asked.all = make([]byte, n*asked.size)
			}
			copy(asked.at(order[i]), text)
			if !yield(keyNumber(i, id, hash[:])) {
				return
			}
		}
	}
	before := heap()
	table := auth.New("bench")
	if err := table.Load(auth.Records{Keys: made}); err != nil {
		return nil, nil, 0, err
	}
	taken := float64(heap()-before-uint64(len(asked.all))) / float64(n)
	runtime.KeepAlive(order)
	return table, asked, taken, nil
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A way asks for keys in some order: of all, or of those that are in use. Which
// key is next depends on the outcome of the one before, so that a CPU cannot begin
// with it early: what is timed is how long one takes, not how many overlap.
type way struct {
	table *auth.Table
	asked *texts
	among int // of the first so many, again and again
	at    int
	bad   spec.Code
	none  uintptr // always 0, which the compiler cannot know
}

func (w *way) next() []byte { return w.asked.at(w.at) }

// step goes on to the next key when outcome is there.
func (w *way) step(outcome uintptr) { w.at = (w.at + 1 + int(outcome&w.none)) % w.among }

func (w *way) check(int) {
	who, code := w.table.Identify(w.next(), 1)
	if code != "" {
		w.bad = code
	}
	w.step(uintptr(unsafe.Pointer(who)))
}

// admit asks for what the gateway asks next, too, before it sends a request on.
func (w *way) admit(int) {
	who, code := w.table.Identify(w.next(), 1)
	if code != "" || who.MaxAge() == 0 || !who.AnyAddress() || !who.EndpointAllowed(path) || !who.MayUse("llama", who.Tenant) {
		w.bad = spec.CodeForbidden
	}
	w.step(uintptr(unsafe.Pointer(who)))
}

var path = []byte("/v1/chat/completions")

func (w *way) hash(int) {
	sum := sha256.Sum256(secretOf(w.next()))
	w.step(uintptr(sum[0]))
}

// batch is short, so that the median is of batches in which nothing else ran.
const batch = 250

// compare times checks and bare hashes in turn. What a check takes beside the hash
// is the difference: that a check hashes while it waits for memory is its merit.
func (w *way) compare(rounds int, do func(int)) (check, hash, over float64) {
	var checks, hashes, overs []float64
	for range rounds * 100 {
		c, h := per(batch, do), per(batch, w.hash)
		checks, hashes, overs = append(checks, c), append(hashes, h), append(overs, c-h)
	}
	return median(checks), median(hashes), median(overs)
}

// inUse is how many keys send requests at a time, in the second measurement.
const inUse = 1000

func measureKeys(n, rounds int) ([]figure, error) {
	table, asked, bytes, err := fill(n)
	if err != nil {
		return nil, err
	}
	all := &way{table: table, asked: asked, among: n}
	some := &way{table: table, asked: asked, among: min(n, inUse)}
	check, hash, over := all.compare(rounds, all.check)
	_, _, warm := some.compare(rounds, some.check)
	_, _, admitted := all.compare(rounds, all.admit)
	read := waits(n, rounds)
	if all.bad != "" || some.bad != "" {
		return nil, fmt.Errorf("a key is refused: %s%s", all.bad, some.bad)
	}
	allocs := testing.AllocsPerRun(10_000, func() { all.check(0) })
	change := changes(table)
	return []figure{
		{"key_check", check, "ns/op", "", true},
		{"sha256_of_the_secret", hash, "ns/op", "", true},
		{"key_check_without_hash", over, "ns/op", "< 300", over < 300},
		{"key_check_without_hash_over_a_read", over / read, "x", "", true},
		{"a_read_of_as_much_memory", read, "ns/op", "", true},
		{"key_check_without_hash_1000_in_use", warm, "ns/op", "< 300", warm < 300},
		{"key_check_and_permission_without_hash", admitted, "ns/op", "", true},
		{"key_check_allocations", allocs, "allocs/op", "<= 0", allocs == 0},
		{"memory_per_key", bytes, "bytes", "", true},
		{"key_change_p50", quantile(change, 0.5), "us", "< 1000", quantile(change, 0.5) < 1000},
		{"key_change_p99", quantile(change, 0.99), "us", "", true},
	}, nil
}

// waits is what one read takes, each of which must wait for the one before, of as
// much memory as n keys are: no look-up can be faster than this machine's memory.
func waits(n, rounds int) float64 {
	type line struct {
		next int32
		_    [46]int32
	}
	memory := make([]line, n)
	order := rand.Perm(n)
	for i, at := range order {
		memory[at].next = int32(order[(i+1)%n])
	}
	var took []float64
	at := int32(0)
	for range rounds * 100 {
		took = append(took, per(batch, func(int) { at = memory[at].next }))
	}
	runtime.KeepAlive(at)
	return median(took)
}

// changes times single changes of the full table, in microseconds.
func changes(table *auth.Table) (took []float64) {
	for i := range 2000 {
		_, id, hash := auth.NewText()
		k := keyNumber(i, id, hash[:])
		began := time.Now()
		table.PutKey(k)
		took = append(took, float64(time.Since(began))/1e3)
		k.RevokedMs = 1
		table.PutKey(k)
		table.RemoveKey(id)
	}
	return took
}
