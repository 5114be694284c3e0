package anthropic

import (
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/gateway/chat"
)

// toolsOf translates the tools that the client has.
func (q *Request) toolsOf(v *fastjson.Value) {
	list := q.List("tools", v)
	if len(list) == 0 {
		return
	}
	q.tools = len(list)
	q.fields = append(q.fields, `,"tools":[`...)
	for i, t := range list {
		if i > 0 {
			q.fields = append(q.fields, ',')
		}
		q.tool(t, chat.At("tools", i, ""))
	}
	q.fields = append(q.fields, ']')
}

func (q *Request) tool(t *fastjson.Value, at string) {
	if !q.Object(at, t) {
		return
	}
	if kind := t.Get("type"); kind != nil && kind.Type() != fastjson.TypeNull {
		if text, ok := q.Text(at+".type", kind); ok && string(text) != "custom" {
			q.Add(at+".type", "is "+strconv.Quote(string(text))+", which is run by Anthropic or known to its models alone: describe the tool with name and input_schema, and run it in the client")
			return
		}
	}
	name, _ := q.Name(at+".name", t.Get("name"))
	q.fields = append(q.fields, `{"type":"function","function":{"name":`...)
	q.fields = chat.AppendString(q.fields, name)
	if d := t.Get("description"); d != nil && d.Type() != fastjson.TypeNull {
		text, _ := q.Text(at+".description", d)
		q.fields = chat.AppendString(append(q.fields, `,"description":`...), text)
	}
	if schema := t.Get("input_schema"); q.Object(at+".input_schema", schema) {
		q.fields = chat.AppendValue(append(q.fields, `,"parameters":`...), schema)
	}
	if s := t.Get("strict"); s != nil && q.Flag(at+".strict", s) {
		q.fields = append(q.fields, `,"strict":true`...)
	}
	q.fields = append(q.fields, "}}"...)
}

// choose reads how tools are to be used; writeTools writes it, when it is known whether
// there are any.
func (q *Request) choose(v *fastjson.Value) {
	if !q.Object("tool_choice", v) {
		return
	}
	switch string(v.GetStringBytes("type")) {
	case "auto", "any", "none":
	case "tool":
		q.Name("tool_choice.name", v.Get("name"))
	default:
		q.Add("tool_choice.type", "must be auto, any, tool or none")
	}
	if s := v.Get("disable_parallel_tool_use"); s != nil {
		q.single = q.Flag("tool_choice.disable_parallel_tool_use", s)
	}
	q.choice = v
}

func (q *Request) writeTools(b []byte) []byte {
	if q.choice == nil || q.tools == 0 {
		return b
	}
	b = append(b, `,"tool_choice":`...)
	switch string(q.choice.GetStringBytes("type")) {
	case "any":
		b = append(b, `"required"`...)
	case "none":
		b = append(b, `"none"`...)
	case "tool":
		b = chat.AppendString(append(b, `{"type":"function","function":{"name":`...), q.choice.GetStringBytes("name"))
		b = append(b, "}}"...)
	default:
		b = append(b, `"auto"`...)
	}
	if q.single {
		b = append(b, `,"parallel_tool_calls":false`...)
	}
	return b
}
