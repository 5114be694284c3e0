package canonical

import "testing"

func TestWhatIsTheSame(t *testing.T) {
	for name, c := range map[string]struct {
		a, b string
		same bool
	}{
		"order and space":      {`{"temperature":0,"max_tokens":5}`, ` { "max_tokens" : 5, "temperature":0.0 } `, true},
		"numbers":              {`{"temperature":1e0,"top_p":0.50}`, `{"temperature":1,"top_p":5e-1}`, true},
		"idle fields":          {`{"max_tokens":5,"user":"a","stream":true}`, `{"max_tokens":5,"metadata":{"x":1}}`, true},
		"escapes":              {`{"prompt":"A\u00e9\ud83d\ude00"}`, `{"prompt":"\u0041é😀"}`, true},
		"order in messages":    {`{"messages":[{"role":"user","content":"x"}]}`, `{"messages":[{"content":"x","role":"user"}]}`, true},
		"order in tools":       {`{"tools":[{"a":1,"b":2}]}`, `{"tools":[{"b":2,"a":1}]}`, false},
		"another number":       {`{"max_tokens":5}`, `{"max_tokens":50}`, false},
		"text and number":      {`{"seed":1}`, `{"seed":"1"}`, false},
		"order of messages":    {`{"messages":[{"content":"x"},{"content":"y"}]}`, `{"messages":[{"content":"y"},{"content":"x"}]}`, false},
		"one array and two":    {`{"stop":["a","b"]}`, `{"stop":["ab"]}`, false},
		"a field of the other": {`{"a":{"b":1}}`, `{"a":{},"b":1}`, false},
	} {
		a, err := Of("p", []byte(c.a))
		b, err2 := Of("p", []byte(c.b))
		if err != nil || err2 != nil || (a.Sum == b.Sum) != c.same {
			t.Errorf("%s: %v, %v, the same: %v", name, err, err2, a.Sum == b.Sum)
		}
	}
	if a, _ := Of("p", []byte(`{"temperature":-0.0e5,"seed":3}`)); !a.Greedy || !a.Seeded {
		t.Errorf("%+v", a)
	}
	if a, _ := Of("p", []byte(`{"temperature":0.1,"seed":null}`)); a.Greedy || a.Seeded {
		t.Errorf("%+v", a)
	}
	for seed, fixed := range map[string]bool{"0": true, "7": true, "7.0": true, "4294967294": true, "9007199254740993": true,
		"-1": false, "4294967295": false, "4.294967295e9": false, "-7": false, `"7"`: false, "[7]": false, "true": false} {
		if a, err := Of("p", []byte(`{"seed":`+seed+`}`)); err != nil || a.Seeded != fixed {
			t.Errorf("the seed %s fixes the draw: %v, %v", seed, a.Seeded, err)
		}
	}
	one, _ := Of("p", []byte(`{}`))
	if two, _ := Of("q", []byte(`{}`)); one.Sum == two.Sum {
		t.Error("what it is for makes no difference")
	}
	for _, unsure := range []string{`{"a":1,"a":2}`, `{"messages":[{"x":1,"x":1}]}`, `{"prompt":"\ud800"}`, `{"prompt":"\udc00\ud800"}`, `[]`, `{`} {
		if _, err := Of("p", []byte(unsure)); err == nil {
			t.Errorf("%s has a name", unsure)
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add(`{"messages":[{"role":"user","content":"x"}],"temperature":0}`)
	f.Fuzz(func(t *testing.T, body string) {
		a, err := Of("p", []byte(body))
		if err != nil {
			return
		}
		if b, err := Of("p", []byte(" "+body+"\n")); err != nil || a != b {
			t.Fatalf("with space around: %v, %+v and %+v", err, a, b)
		}
	})
}
