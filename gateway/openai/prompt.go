package openai

import (
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
)

// messages checks a chat's messages and counts their text.
func (r *Request) messages(v *fastjson.Value) {
	list, err := v.Array()
	if err != nil || len(list) == 0 {
		r.add("messages", "must be an array of at least one message")
		return
	}
	say := r.say // one for all
	defer func() { r.said = said{} }()
	for i, m := range list {
		if m.Type() != fastjson.TypeObject {
			r.add(at("messages", i, ""), "must be an object with role and content")
			continue
		}
		r.said = said{at: i}
		m.GetObject().Visit(say)
		role, content := r.said.role, r.said.content
		if role == nil || role.Type() != fastjson.TypeString {
			r.add(at("messages", i, ".role"), "must be a string such as user")
		}
		if content == nil {
			continue // a call of tools has none
		}
		switch content.Type() {
		case fastjson.TypeString:
			r.promptIn += len(content.GetStringBytes())
		case fastjson.TypeNull:
		case fastjson.TypeArray:
			r.parts(i, content.GetArray())
		default:
			r.add(at("messages", i, ".content"), "must be a string or an array of parts")
		}
	}
}

// said is what is known of the message that is being looked at.
type said struct {
	at            int
	role, content *fastjson.Value
}

// say notes a field of a message.
func (r *Request) say(key []byte, v *fastjson.Value) {
	note := func(to **fastjson.Value, rest string) {
		if *to != nil {
			r.add(at("messages", r.said.at, rest), "is given twice")
		}
		*to = v
	}
	switch string(key) {
	case "role":
		note(&r.said.role, ".role")
	case "content":
		note(&r.said.content, ".content")
	default:
		if w := ofMessage.of(key); w != nil && v.Type() != fastjson.TypeNull {
			r.way = append(r.way[:0], step{name: "messages"}, step{at: r.said.at}, step{name: w.name})
			r.keepTo(v, w.rule)
		}
	}
}

func (r *Request) parts(message int, list []*fastjson.Value) {
	for i, p := range list {
		if p.Type() != fastjson.TypeObject {
			r.add(at("messages", message, ".content"), "must hold objects with a type")
			return
		}
		r.promptIn += len(p.GetStringBytes("text"))
		kind := p.GetStringBytes("type")
		switch string(kind) {
		case "image_url", "input_image":
			r.wish(spec.AbleImages, &r.images, message)
		case "input_audio":
			r.wish(spec.AbleAudio, &r.audio, message)
		}
		r.part(message, i, p, ofPart[string(kind)])
	}
}

// part holds a part of a message to the rule of its kind.
func (r *Request) part(message, i int, p *fastjson.Value, w *rule) {
	if w == nil {
		w = anyPart
	}
	r.way = append(r.way[:0], step{name: "messages"}, step{at: message}, step{name: "content"}, step{at: i})
	r.keepTo(p, w)
}

// longestToken is more bytes than one token of any vocabulary stands for: those that have
// whole lines of spaces have them of some hundred.
const longestToken = 1 << 10

// leastOf is how many tokens a text of so many bytes has at least.
func leastOf(bytes int) int { return (bytes + longestToken - 1) / longestToken }

// text checks a prompt or input: a string, or an array of strings, of token
// ids, or of arrays of token ids.
func (r *Request) text(param string, v *fastjson.Value) {
	switch v.Type() {
	case fastjson.TypeString:
		r.promptIn += len(v.GetStringBytes())
		r.LeastTokens = leastOf(r.promptIn)
	case fastjson.TypeArray:
		list := v.GetArray()
		if len(list) == 0 {
			r.add(param, "must not be empty")
			return
		}
		r.LeastTokens = leastOfEach(list)
		first := list[0].Type()
		if first != fastjson.TypeString && first != fastjson.TypeNumber && first != fastjson.TypeArray {
			r.add(param, "must hold strings, or token ids")
			return
		}
		for _, item := range list {
			if item.Type() != first {
				r.add(param, "must hold items of one kind: strings, or token ids")
				return
			}
			r.promptIn += textBytes(item)
		}
	default:
		r.add(param, "must be a string or an array")
	}
}

// plain checks a text that must be one string.
func (r *Request) plain(param string, v *fastjson.Value) {
	if !r.want(v, fastjson.TypeString, param, "a string") {
		return
	}
	text := v.GetStringBytes()
	if len(text) == 0 {
		r.add(param, "must not be empty")
	}
	r.promptIn += len(text)
}

// documents checks what is ranked: strings, or objects, whose text is looked for
// in a field of that name; what else they hold is the engine's to understand.
func (r *Request) documents(v *fastjson.Value) {
	list, err := v.Array()
	if err != nil || len(list) == 0 {
		r.add("documents", "must be an array of at least one text")
		return
	}
	for i, d := range list {
		switch d.Type() {
		case fastjson.TypeString:
			r.promptIn += len(d.GetStringBytes())
		case fastjson.TypeObject:
			r.promptIn += len(d.GetStringBytes("text"))
		default:
			r.add(at("documents", i, ""), "must be a string, or an object with text")
		}
	}
}

// leastOfEach is leastOf for the longest of several prompts, or of the one whose tokens
// list holds.
func leastOfEach(list []*fastjson.Value) (least int) {
	for _, item := range list {
		switch item.Type() {
		case fastjson.TypeString:
			least = max(least, leastOf(len(item.GetStringBytes())))
		case fastjson.TypeArray:
			least = max(least, len(item.GetArray()))
		case fastjson.TypeNumber:
			return len(list)
		}
	}
	return least
}

func textBytes(v *fastjson.Value) int {
	switch v.Type() {
	case fastjson.TypeString:
		return len(v.GetStringBytes())
	case fastjson.TypeArray:
		return 4 * len(v.GetArray())
	default:
		return 4
	}
}

func at(list string, i int, rest string) string {
	return list + "[" + strconv.Itoa(i) + "]" + rest
}
