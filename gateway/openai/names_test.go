package openai

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/gateway/prefix"
)

// A chain names beginnings in the plainest way, to compare with.
type chain struct {
	sum   [32]byte
	names []uint64
}

func begin(kind, salt string) *chain {
	return &chain{sum: sha256.Sum256([]byte("lotabots/prefix/1/" + kind + "\x00" + salt))}
}

func (c *chain) add(b []byte, named bool) {
	c.sum = sha256.Sum256(append(c.sum[:len(c.sum):len(c.sum)], b...))
	if named {
		c.names = append(c.names, binary.BigEndian.Uint64(c.sum[:]))
	}
}

func (c *chain) message(role, content string, named bool) {
	c.add([]byte(string(binary.LittleEndian.AppendUint32(nil, uint32(len(role))))+role+content), named)
}

// namesOf checks the body and returns the names of its prompt.
func namesOf(t interface{ Fatalf(string, ...any) }, e Endpoint, body []byte, salt string) *prefix.Prompt {
	var r Request
	if err := r.Check(e, body); err != nil || len(r.Problems) > 0 {
		t.Fatalf("%s: %v, %v", body, err, r.Problems)
	}
	p := new(prefix.Prompt)
	r.Names(body, salt, p)
	r.Release()
	return p
}

func TestNamesOfChats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type call struct {
			Function map[string]string `json:"function"`
		}
		type turn struct {
			Role    string `json:"role"`
			Content any    `json:"content,omitempty"`
			Calls   []call `json:"tool_calls,omitempty"`
		}
		doc := map[string]any{"model": "m"}
		salt := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "salt")
		want := begin("chat", salt)
		if rapid.Bool().Draw(t, "tools") {
			tools := []any{map[string]any{"type": "function", "function": map[string]any{"name": rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "tool")}}}
			doc["tools"] = tools
			raw, _ := json.Marshal(tools[0])
			if rapid.Bool().Draw(t, "none") {
				doc["tool_choice"] = "none"
			} else {
				want.message("tools", string(raw), false)
			}
		}
		var turns []turn
		for range rapid.IntRange(1, 12).Draw(t, "turns") {
			m := turn{Role: rapid.SampledFrom([]string{"system", "developer", "user", "assistant", "tool"}).Draw(t, "role")}
			text := rapid.StringN(0, 40, -1).Draw(t, "text")
			if rapid.Bool().Draw(t, "parts") {
				m.Content = []map[string]string{{"type": "text", "text": text}, {"type": "text", "text": "x"}}
				text += "x"
			} else {
				m.Content = text
			}
			if m.Role == "assistant" && rapid.Bool().Draw(t, "call") {
				m.Calls = []call{{map[string]string{"name": "f", "arguments": `{"a":"\n"}`}}}
				text += "\x00f\x00" + `{"a":"\n"}`
			}
			role := m.Role
			if role == "developer" {
				role = "system"
			}
			turns = append(turns, m)
			want.message(role, text, true)
		}
		doc["messages"] = turns
		var body bytes.Buffer
		enc := json.NewEncoder(&body)
		enc.SetEscapeHTML(rapid.Bool().Draw(t, "escape"))
		if err := enc.Encode(doc); err != nil {
			t.Fatal(err)
		}
		if got := namesOf(t, Chat, body.Bytes(), salt).Names(); !equal(got, want.names) {
			t.Fatalf("%s\nnames %x, want %x", body.Bytes(), got, want.names)
		}
	})
}

func equal(a, b []uint64) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

func TestNamesOfPrompts(t *testing.T) {
	text := strings.Repeat("Grüße und Küsse, ", 100)
	raw, _ := json.Marshal(text)
	want := begin("text", "s")
	for i := 1; i*256 <= len(text); i++ {
		want.add([]byte(text[(i-1)*256:i*256]), prefix.Announced(i))
	}
	for _, body := range []string{`{"model":"m","prompt":` + string(raw) + `}`, `{"model":"m","prompt":[` + string(raw) + `]}`} {
		if got := namesOf(t, Completions, []byte(body), "s").Names(); !equal(got, want.names) || len(got) != 5 { // 1, 2, 3, 4, 6
			t.Errorf("names %x, want %x", got, want.names)
		}
	}
	numbers := make([]int32, 150)
	tokens := begin("tokens", "s")
	for i := range numbers {
		numbers[i] = int32(i - 3)
	}
	for i := 1; i <= 2; i++ {
		var b []byte
		for _, n := range numbers[(i-1)*64 : i*64] {
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
		}
		tokens.add(b, true)
	}
	raw, _ = json.Marshal(numbers)
	for _, body := range []string{`{"model":"m","prompt":` + string(raw) + `}`, `{"model":"m","prompt":[` + string(raw) + `]}`} {
		if got := namesOf(t, Completions, []byte(body), "s").Names(); !equal(got, tokens.names) {
			t.Errorf("names %x, want %x", got, tokens.names)
		}
	}
	if p := namesOf(t, Completions, []byte(`{"model":"m","prompt":["a","b"]}`), ""); p.Len() != 0 {
		t.Errorf("two prompts have %d names", p.Len())
	}
}

// conversation is a body as a chat's tenth turn has it, of about so many bytes.
func conversation(bytes int) []byte {
	var turns []map[string]string
	for i := range 19 {
		turns = append(turns, map[string]string{"role": []string{"user", "assistant"}[i%2], "content": strings.Repeat("word \n", bytes/19/7)})
	}
	raw, _ := json.Marshal(map[string]any{"model": "m", "messages": turns, "stream": true})
	return raw
}

func TestNamesAllocateNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which runs the short tests, empties pools at random")
	}
	body, p := conversation(8<<10), new(prefix.Prompt)
	var r Request
	if n := testing.AllocsPerRun(200, func() {
		_ = r.Check(Chat, body)
		r.Names(body, "salt", p)
		r.Release()
	}); n > 0.5 || p.Len() != 19 {
		t.Errorf("%v allocations, %d names", n, p.Len())
	}
}

func BenchmarkNames(b *testing.B) {
	for name, size := range map[string]int{"1KB": 1 << 10, "8KB": 8 << 10, "64KB": 64 << 10} {
		body, p := conversation(size), new(prefix.Prompt)
		var r Request
		b.Run(name+"/check", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				_ = r.Check(Chat, body)
				r.Release()
			}
		})
		_ = r.Check(Chat, body)
		b.Run(name+"/names", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				r.Names(body, "salt", p)
			}
		})
		r.Release()
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{`{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"a":1}, 2 ]}`, `{"tools":{},"model":"m","messages":[{"role":"assistant","content":[{}],"tool_calls":[{"function":{"name":"a","arguments":"b"}}]}]}`,
		`{"model":"m","prompt":[[1,2]]}`, `{"prompt":[],"model":"m"}`, `{"too\u006cs":[1],"messages":[7]}`} {
		f.Add(true, []byte(s))
		f.Add(false, []byte(s))
	}
	f.Fuzz(func(t *testing.T, chat bool, body []byte) {
		var r Request
		e := Completions
		if chat {
			e = Chat
		}
		if r.Check(e, body) != nil {
			return
		}
		a, b := new(prefix.Prompt), new(prefix.Prompt)
		r.Names(body, "a", a)
		r.Names(body, "b", b)
		r.Release()
		for _, x := range a.Names() {
			for _, y := range b.Names() {
				if x == y {
					t.Fatalf("two salts share the name %x", x)
				}
			}
		}
	})
}
