package openai

import (
	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec/pool"
	"github.com/lotabots/lotabots/gateway/prefix"
)

// parsed is what Check has parsed that the prompt is made of. It is good until Release.
type parsed struct {
	parser                          *fastjson.Parser
	messages, prompt, tools, choice *fastjson.Value
}

var hashers = pool.New("prompt-hashers", func() *prefix.Hasher { return new(prefix.Hasher) })

// Words of chains.
var (
	roleTools     = []byte("tools")
	roleSystem    = []byte("system")
	nul           = []byte{0}
	openingBlocks = 32 // of a prompt that is no chat: they stand for its first user message
)

// Prompted tells whether the body that Check has read has a prompt that Names may name.
func (r *Request) Prompted() bool { return r.parsed.messages != nil || r.parsed.prompt != nil }

// Release gives back what Check holds on to for Names.
func (r *Request) Release() {
	if r.parsed.parser != nil {
		parsers.Put(r.parsed.parser)
	}
	r.parsed = parsed{}
}

// Names names the beginnings of the prompt of the body that Check has read, for one salt. Of what is no
// text, or several prompts, there are none. What is not well-formed may get any names.
func (r *Request) Names(body []byte, salt string, p *prefix.Prompt) {
	p.Reset()
	h := hashers.Get()
	defer hashers.Put(h)
	switch {
	case r.parsed.messages != nil:
		h.Start(prefix.Chat, salt)
		r.nameTools(h, body)
		r.nameTurns(h, p)
	case r.parsed.prompt != nil:
		namePrompt(h, r.parsed.prompt, salt, p)
	}
}

// nameTools begins with the tools that the model is shown, each as it stands in the body.
// They are announced with what follows them.
func (r *Request) nameTools(h *prefix.Hasher, body []byte) {
	if r.parsed.tools == nil || string(r.parsed.choice.GetStringBytes()) == "none" {
		return
	}
	top := within(body, skipSpace(body, 0), '{')
	for {
		key, ok := top.next()
		if !ok {
			return
		}
		if string(key) == "tools" {
			break
		}
		top.skip()
	}
	for list := within(body, top.at, '['); list.more(']'); {
		from := list.at
		if list.skip(); list.bad {
			break
		}
		h.Message(roleTools)
		h.Write(body[from:list.at])
		h.End()
	}
}

// nameTurns names the beginning to the end of each message.
func (r *Request) nameTurns(h *prefix.Hasher, p *prefix.Prompt) {
	bytes := 0
	for _, m := range r.parsed.messages.GetArray() {
		role := m.GetStringBytes("role")
		if string(role) == "developer" {
			role = roleSystem
		}
		h.Message(role)
		if content := m.Get("content"); content != nil {
			bytes += writeContent(h, content)
		}
		user, assistant := string(role) == "user", string(role) == "assistant"
		if assistant {
			writeCalls(h, m)
		}
		p.Add(h.End(), bytes/4)
		if user {
			p.Opened()
		}
		if assistant {
			p.Answered()
		}
	}
}

// writeContent adds a message's text, and tells its bytes.
func writeContent(h *prefix.Hasher, content *fastjson.Value) (bytes int) {
	if content.Type() == fastjson.TypeString {
		text := content.GetStringBytes()
		h.Write(text)
		return len(text)
	}
	for _, part := range content.GetArray() {
		text := part.GetStringBytes("text")
		h.Write(text)
		bytes += len(text)
	}
	return bytes
}

func writeCalls(h *prefix.Hasher, message *fastjson.Value) {
	for _, call := range message.GetArray("tool_calls") {
		h.Write(nul)
		h.Write(call.GetStringBytes("function", "name"))
		h.Write(nul)
		h.Write(call.GetStringBytes("function", "arguments"))
	}
}

// namePrompt names the blocks of one text, or of one list of tokens.
func namePrompt(h *prefix.Hasher, v *fastjson.Value, salt string, p *prefix.Prompt) {
	list := v.GetArray()
	if len(list) == 1 && list[0].Type() != fastjson.TypeNumber {
		v = list[0]
		list = v.GetArray()
	}
	if v.Type() == fastjson.TypeString {
		h.Start(prefix.Text, salt)
		text := v.GetStringBytes()
		for i := 1; i <= prefix.MaxBlocks && i*prefix.TextBlock <= len(text); i++ {
			h.Block()
			h.Write(text[(i-1)*prefix.TextBlock : i*prefix.TextBlock])
			nameBlock(h.End(), i, i*prefix.TextBlock/4, p)
		}
		return
	}
	if len(list) < prefix.TokenBlock || list[0].Type() != fastjson.TypeNumber {
		return
	}
	h.Start(prefix.Tokens, salt)
	for i := 1; i <= prefix.MaxBlocks && i*prefix.TokenBlock <= len(list); i++ {
		h.Block()
		for _, t := range list[(i-1)*prefix.TokenBlock : i*prefix.TokenBlock] {
			h.Token(int32(t.GetInt()))
		}
		nameBlock(h.End(), i, i*prefix.TokenBlock, p)
	}
}

func nameBlock(name uint64, i, tokens int, p *prefix.Prompt) {
	if !prefix.Announced(i) {
		return
	}
	p.Add(name, tokens)
	if i == openingBlocks {
		p.Opened()
		p.Answered()
	}
}
