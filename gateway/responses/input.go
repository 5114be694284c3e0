package responses

import (
	"bytes"
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/gateway/chat"
)

// conversation reads the instructions and the input, which are one conversation.
func (q *Request) conversation() {
	if text := q.instructions.GetStringBytes(); len(text) > 0 {
		q.talk.Begin(chat.System, true)
		q.talk.Text(text)
	}
	switch v := q.input; {
	case v == nil:
		q.Add("input", "is missing: send a text, or a list of items")
	case v.Type() == fastjson.TypeString:
		q.talk.Begin(chat.User, true)
		q.talk.Text(v.GetStringBytes())
	case v.Type() == fastjson.TypeArray && len(v.GetArray()) > 0:
		for i, item := range v.GetArray() {
			if at := chat.At("input", i, ""); q.Object(at, item) {
				q.item(item, at)
			}
		}
	default:
		q.Add("input", "must be a string, or an array of at least one item")
	}
}

func (q *Request) item(v *fastjson.Value, at string) {
	switch kind := string(v.GetStringBytes("type")); kind {
	case "", "message":
		q.message(v, at)
	case "function_call":
		id, _ := q.Name(at+".call_id", v.Get("call_id"))
		name, _ := q.Name(at+".name", v.Get("name"))
		arguments, _ := q.Text(at+".arguments", v.Get("arguments"))
		q.talk.Begin(chat.Assistant, false)
		q.talk.Call(id, name, arguments)
	case "function_call_output":
		q.output(v, at)
	case "reasoning":
		q.thought(v)
	case "item_reference":
		q.Add(at+".type", "is item_reference, and no items are stored: send the item itself")
	default:
		q.Add(at+".type", "is "+strconv.Quote(kind)+", which engines cannot be given: message, function_call, function_call_output and reasoning can")
	}
}

func (q *Request) message(v *fastjson.Value, at string) {
	role, ok := q.Text(at+".role", v.Get("role"))
	if !ok {
		return
	}
	switch string(role) {
	case "user":
		q.talk.Begin(chat.User, true)
	case "assistant":
		q.talk.Begin(chat.Assistant, false)
	case "system", "developer": // templates know the older name alone
		q.talk.Begin(chat.System, true)
	default:
		q.Add(at+".role", "must be user, assistant, system or developer")
		return
	}
	content := v.Get("content")
	if content == nil {
		q.Add(at+".content", "is missing")
		return
	}
	if content.Type() == fastjson.TypeString {
		q.talk.Text(content.GetStringBytes())
		return
	}
	parts := q.List(at+".content", content)
	if len(parts) == 0 && string(role) != "assistant" {
		q.Add(at+".content", "must be a string, or an array of at least one part")
	}
	for i, p := range parts {
		text, image, ok := q.part(p, chat.At(at+".content", i, ""))
		switch {
		case !ok:
		case image != nil:
			q.talk.Image(image)
		default:
			q.talk.Text(text)
		}
	}
}

// part reads a part of a content: a text, or an image.
func (q *Request) part(p *fastjson.Value, at string) (text []byte, image *chat.Image, ok bool) {
	if !q.Object(at, p) {
		return nil, nil, false
	}
	switch kind := string(p.GetStringBytes("type")); kind {
	case "input_text", "output_text", "text", "summary_text":
		text, ok = q.Text(at+".text", p.Get("text"))
	case "refusal":
		text, ok = q.Text(at+".refusal", p.Get("refusal"))
	case "input_image":
		if p.Get("image_url") == nil && p.Get("file_id") != nil {
			q.Add(at+".file_id", "names a file, and no files are stored: send the image in image_url, as a data URL")
			return nil, nil, false
		}
		image = &chat.Image{Detail: p.GetStringBytes("detail")}
		image.URL, ok = q.Name(at+".image_url", p.Get("image_url"))
	default:
		q.Add(at+".type", "is "+strconv.Quote(kind)+", which engines cannot be given: input_text, input_image, output_text and refusal can")
	}
	return text, image, ok
}

// output reads what a function has answered.
func (q *Request) output(v *fastjson.Value, at string) {
	id, _ := q.Name(at+".call_id", v.Get("call_id"))
	var texts [][]byte
	var images []*chat.Image
	switch out := v.Get("output"); {
	case out == nil:
		q.Add(at+".output", "is missing")
	case out.Type() == fastjson.TypeString:
		texts = append(texts, out.GetStringBytes())
	default:
		for i, p := range q.List(at+".output", out) {
			text, image, ok := q.part(p, chat.At(at+".output", i, ""))
			if ok && image != nil {
				images = append(images, image)
			} else if ok {
				texts = append(texts, text)
			}
		}
	}
	q.talk.Result(id, bytes.Join(texts, []byte("\n")), images...)
}

// thought reads what the model had thought: the text, or else its summary.
func (q *Request) thought(v *fastjson.Value) {
	list := v.GetArray("content")
	if len(list) == 0 {
		list = v.GetArray("summary")
	}
	for _, p := range list {
		if text := p.GetStringBytes("text"); len(text) > 0 {
			q.talk.Begin(chat.Assistant, false)
			q.talk.Reasoning(text)
		}
	}
}
