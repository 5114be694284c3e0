package anthropic

import (
	"bytes"
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/gateway/chat"
)

// system reads the system prompt: a string, or blocks of text.
func (q *Request) system(v *fastjson.Value, param string) {
	for _, text := range q.texts(v, param) {
		q.talk.Begin(chat.System, false)
		q.talk.Text(text)
	}
}

// texts reads a string, or blocks of text.
func (q *Request) texts(v *fastjson.Value, param string) (out [][]byte) {
	switch v.Type() {
	case fastjson.TypeString:
		return [][]byte{v.GetStringBytes()}
	case fastjson.TypeArray:
		for i, block := range v.GetArray() {
			at := chat.At(param, i, "")
			if !q.Object(at, block) {
				continue
			}
			if kind := string(block.GetStringBytes("type")); kind != "text" {
				q.Add(at+".type", "must be text")
			} else if text, ok := q.Text(at+".text", block.Get("text")); ok {
				out = append(out, text)
			}
		}
	default:
		q.Add(param, "must be a string or an array of blocks")
	}
	return out
}

// conversation reads the messages, after the system prompt, wherever that stood.
func (q *Request) conversation() {
	if q.prompt != nil {
		q.system(q.prompt, "system")
	}
	for i, m := range q.pending {
		at := chat.At("messages", i, "")
		if !q.Object(at, m) {
			continue
		}
		content := m.Get("content")
		if content == nil {
			q.Add(at+".content", "is missing")
			continue
		}
		switch role, _ := q.Name(at+".role", m.Get("role")); string(role) {
		case "user":
			q.user(content, at+".content")
		case "assistant":
			q.assistant(content, at+".content")
		case "system":
			q.system(content, at+".content")
		default:
			if role != nil {
				q.Add(at+".role", "must be user, assistant or system")
			}
		}
	}
}

// user reads a user's turn. Results of tools come first, as chat completions want them:
// right behind the calls.
func (q *Request) user(v *fastjson.Value, param string) {
	q.asked = true
	if v.Type() == fastjson.TypeString {
		q.talk.Begin(chat.User, false)
		q.talk.Text(v.GetStringBytes())
		return
	}
	blocks := q.List(param, v)
	if len(blocks) == 0 {
		q.Add(param, "must be a string, or an array of at least one block")
	}
	for i, b := range blocks {
		if string(b.GetStringBytes("type")) == "tool_result" {
			q.result(b, chat.At(param, i, ""))
		}
	}
	for i, b := range blocks {
		at := chat.At(param, i, "")
		if !q.Object(at, b) {
			continue
		}
		switch kind, _ := q.Name(at+".type", b.Get("type")); string(kind) {
		case "tool_result":
		case "image":
			if image := q.image(b, at); image != nil {
				q.talk.Begin(chat.User, false)
				q.talk.Image(image)
			}
		default:
			if text, ok := q.textual(string(kind), b, at); ok {
				q.talk.Begin(chat.User, false)
				q.talk.Text(text)
			}
		}
	}
}

// textual reads the blocks that come to a text.
func (q *Request) textual(kind string, b *fastjson.Value, at string) ([]byte, bool) {
	switch kind {
	case "text":
		return q.Text(at+".text", b.Get("text"))
	case "document":
		return q.document(b, at)
	case "search_result":
		parts := [][]byte{b.GetStringBytes("title"), b.GetStringBytes("source")}
		if content := b.Get("content"); content != nil {
			parts = append(parts, q.texts(content, at+".content")...)
		}
		return lines(parts), true
	case "":
	default:
		q.Add(at+".type", "is "+strconv.Quote(kind)+", which engines cannot be given: text, image, document, search_result, thinking, tool_use and tool_result can")
	}
	return nil, false
}

// document reads a document whose source is text.
func (q *Request) document(b *fastjson.Value, at string) ([]byte, bool) {
	source := b.Get("source")
	if !q.Object(at+".source", source) {
		return nil, false
	}
	parts := [][]byte{b.GetStringBytes("title"), b.GetStringBytes("context")}
	switch kind := string(source.GetStringBytes("type")); kind {
	case "text":
		data, _ := q.Text(at+".source.data", source.Get("data"))
		parts = append(parts, data)
	case "content":
		if content := source.Get("content"); content != nil {
			parts = append(parts, q.texts(content, at+".source.content")...)
		}
	default:
		q.Add(at+".source.type", "is "+strconv.Quote(kind)+": engines read documents as text alone; send its text")
		return nil, false
	}
	return lines(parts), true
}

// image reads an image, or returns nil.
func (q *Request) image(b *fastjson.Value, at string) *chat.Image {
	source := b.Get("source")
	at += ".source"
	if !q.Object(at, source) {
		return nil
	}
	switch kind := string(source.GetStringBytes("type")); kind {
	case "base64":
		media, okay := q.Name(at+".media_type", source.Get("media_type"))
		data, ok := q.Name(at+".data", source.Get("data"))
		if ok && okay {
			return &chat.Image{Media: media, Data: data}
		}
	case "url":
		if url, ok := q.Name(at+".url", source.Get("url")); ok {
			return &chat.Image{URL: url}
		}
	default:
		q.Add(at+".type", "is "+strconv.Quote(kind)+": it must be base64 or url; files are not kept here")
	}
	return nil
}

// result reads what a tool has answered.
func (q *Request) result(b *fastjson.Value, at string) {
	id, _ := q.Name(at+".tool_use_id", b.Get("tool_use_id"))
	var parts [][]byte
	var images []*chat.Image
	switch content := b.Get("content"); {
	case content == nil || content.Type() == fastjson.TypeNull:
	case content.Type() == fastjson.TypeString:
		parts = append(parts, content.GetStringBytes())
	default:
		for i, block := range q.List(at+".content", content) {
			at := chat.At(at+".content", i, "")
			if !q.Object(at, block) {
				continue
			}
			kind, _ := q.Name(at+".type", block.Get("type"))
			if string(kind) == "image" {
				if image := q.image(block, at); image != nil {
					images = append(images, image)
				}
			} else if text, ok := q.textual(string(kind), block, at); ok {
				parts = append(parts, text)
			}
		}
	}
	text := lines(parts)
	if failed := b.Get("is_error"); failed != nil && q.Flag(at+".is_error", failed) && !hasErrorPrefix(text) {
		text = append([]byte("Error: "), text...)
	}
	q.talk.Result(id, text, images...)
}

// hasErrorPrefix tells whether a result says itself that it is an error: chat completions
// have no other place for that.
func hasErrorPrefix(text []byte) bool {
	const word = "error"
	return len(text) >= len(word) && bytes.EqualFold(text[:len(word)], []byte(word))
}

// assistant reads an earlier answer, or the beginning of the one that is asked for.
func (q *Request) assistant(v *fastjson.Value, param string) {
	q.talk.Begin(chat.Assistant, false)
	if v.Type() == fastjson.TypeString {
		q.talk.Text(v.GetStringBytes())
		return
	}
	for i, b := range q.List(param, v) {
		at := chat.At(param, i, "")
		if !q.Object(at, b) {
			continue
		}
		switch kind, _ := q.Name(at+".type", b.Get("type")); string(kind) {
		case "thinking":
			if text, ok := q.Text(at+".thinking", b.Get("thinking")); ok && len(text) > 0 {
				q.talk.Reasoning(text)
			}
		case "redacted_thinking": // nobody here can read it
		case "tool_use":
			q.use(b, at)
		default:
			if text, ok := q.textual(string(kind), b, at); ok {
				q.talk.Text(text)
			}
		}
	}
}

// use reads the call of a tool.
func (q *Request) use(b *fastjson.Value, at string) {
	id, _ := q.Name(at+".id", b.Get("id"))
	name, _ := q.Name(at+".name", b.Get("name"))
	input := []byte("{}")
	if v := b.Get("input"); v != nil && v.Type() != fastjson.TypeNull && q.Object(at+".input", v) {
		input = chat.AppendValue(nil, v)
	}
	q.talk.Call(id, name, input)
}

// lines joins what is not empty of parts.
func lines(parts [][]byte) []byte {
	var full [][]byte
	for _, p := range parts {
		if len(p) > 0 {
			full = append(full, p)
		}
	}
	if len(full) == 1 {
		return full[0]
	}
	return bytes.Join(full, []byte("\n"))
}
