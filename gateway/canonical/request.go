package canonical

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// A Request is what its body says, as far as keeping answers goes.
type Request struct {
	Sum    [sha256.Size]byte
	Greedy bool // it says that its temperature is 0
	Seeded bool // it gives a seed that fixes the draw
}

// fixes tells whether engines keep to the seed: for -1 and 4294967295 some draw one.
func fixes(seed float64) bool { return seed >= 0 && seed != math.MaxUint32 }

// errUnsure is of bodies that engines may read differently: nothing of theirs is kept.
var errUnsure = errors.New("the body can be read in more than one way")

// idle are fields of the body that do not change the answer. The model is named by the
// rest of a key, and whether the answer is a stream by the purpose.
var idle = map[string]bool{
	"model": true, "stream": true, "user": true, "metadata": true, "store": true, "safety_identifier": true,
	"prompt_cache_key": true, "prompt_cache_retention": true, "service_tier": true, "priority": true,
}

var parsers = pool.New("canonical-parsers", func() *fastjson.Parser { return new(fastjson.Parser) })

// Of reads the body, one JSON object as the engine will get it. purpose is what else the
// answer depends on, such as the path. Keys may stand in any order where engines read them
// by name: in the body itself and in its messages. Elsewhere, as in tools and schemas, the
// order is kept: it is written into prompts as it is. Space is no part of it, numbers of
// the body's own fields count by their value, and text by what is escaped in it. An error
// says that engines may differ about it.
func Of(purpose string, body []byte) (Request, error) {
	var r Request
	if !paired(body) {
		return r, errUnsure
	}
	p := parsers.Get()
	defer parsers.Put(p)
	v, err := p.ParseBytes(body)
	if err != nil {
		return r, err
	}
	o, err := v.Object()
	if err != nil {
		return r, err
	}
	w := writer{out: make([]byte, 0, len(body)+len(purpose)+64)}
	w.text([]byte(purpose))
	fields, err := w.fields(o)
	if err != nil {
		return r, err
	}
	for _, f := range fields {
		if idle[f.key] {
			continue
		}
		w.text([]byte(f.key))
		switch t := f.v.Type(); {
		case t == fastjson.TypeNumber:
			number := value(f.v.MarshalTo(nil))
			r.Greedy = r.Greedy || f.key == "temperature" && number == zero
			r.Seeded = r.Seeded || f.key == "seed" && fixes(f.v.GetFloat64())
			w.raw('n', []byte(number))
		case f.key == "messages":
			err = w.write(f.v, true)
		default:
			err = w.write(f.v, false)
		}
		if err != nil {
			return r, err
		}
	}
	r.Sum = sha256.Sum256(w.out)
	return r, nil
}

// A writer writes values so that different ones never read alike: each begins with its
// kind and, where it has parts or bytes, how many.
type writer struct{ out []byte }

func (w *writer) raw(kind byte, b []byte) {
	w.count(kind, len(b))
	w.out = append(w.out, b...)
}

func (w *writer) count(kind byte, n int) {
	w.out = binary.AppendUvarint(append(w.out, kind), uint64(n))
}

func (w *writer) text(b []byte) { w.raw('s', b) }

type field struct {
	key string
	v   *fastjson.Value
}

// fields lists those of an object by name; one that is there twice is an error.
func (w *writer) fields(o *fastjson.Object) ([]field, error) {
	out := w.inOrder(o)
	slices.SortStableFunc(out, func(a, b field) int { return bytes.Compare([]byte(a.key), []byte(b.key)) })
	return out, unique(out)
}

func (w *writer) inOrder(o *fastjson.Object) []field {
	out := make([]field, 0, o.Len())
	o.Visit(func(key []byte, v *fastjson.Value) { out = append(out, field{string(key), v}) })
	return out
}

// unique wants no two neighbours of one name.
func unique(sorted []field) error {
	for i := 1; i < len(sorted); i++ {
		if sorted[i].key == sorted[i-1].key {
			return errUnsure
		}
	}
	return nil
}

// write writes any value; named: the order of its objects' keys does not matter.
func (w *writer) write(v *fastjson.Value, named bool) error {
	switch v.Type() {
	case fastjson.TypeObject:
		o, _ := v.Object()
		fields := w.inOrder(o)
		sorted, err := w.fields(o)
		if err != nil {
			return err
		}
		if named {
			fields = sorted
		}
		w.count('o', len(fields))
		for _, f := range fields {
			w.text([]byte(f.key))
			if err := w.write(f.v, named); err != nil {
				return err
			}
		}
	case fastjson.TypeArray:
		items, _ := v.Array()
		w.count('a', len(items))
		for _, item := range items {
			if err := w.write(item, named); err != nil {
				return err
			}
		}
	case fastjson.TypeString:
		b, _ := v.StringBytes()
		w.text(b)
	default:
		w.raw('v', v.MarshalTo(nil))
	}
	return nil
}

// paired tells whether every escaped half of a character stands with its other half:
// parsers differ about those that do not.
func paired(body []byte) bool {
	for {
		at := bytes.Index(body, []byte(`\u`))
		if at < 0 {
			return true
		}
		body = body[at+2:]
		switch half := surrogate(body); {
		case half == 0:
			continue
		case half != 'h' || len(body) < 10 || body[4] != '\\' || body[5] != 'u' || surrogate(body[6:]) != 'l':
			return false
		}
		body = body[10:]
	}
}

// surrogate tells whether four digits are a high or a low half; 0: neither.
func surrogate(digits []byte) byte {
	if len(digits) < 4 || digits[0]|' ' != 'd' {
		return 0
	}
	switch c := digits[1] | ' '; {
	case c == '8' || c == '9' || c == 'a' || c == 'b':
		return 'h'
	case c >= 'c' && c <= 'f':
		return 'l'
	}
	return 0
}
