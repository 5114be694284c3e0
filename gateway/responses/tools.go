package responses

import (
	"slices"
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/gateway/chat"
)

// toolsOf translates the tools, and how they are to be used.
func (q *Request) toolsOf() {
	var list []*fastjson.Value
	if q.tools != nil {
		list = q.List("tools", q.tools)
	}
	allowed, only := q.allowed()
	n := 0
	for i, t := range list {
		was := len(q.fields)
		if n == 0 {
			q.fields = append(q.fields, `,"tools":[`...)
		} else {
			q.fields = append(q.fields, ',')
		}
		name := q.tool(t, chat.At("tools", i, ""))
		if only && !slices.Contains(allowed, name) {
			q.fields = q.fields[:was]
			continue
		}
		n++
	}
	if n == 0 {
		if kind := q.choice; kind != nil && string(kind.GetStringBytes()) != "auto" && string(kind.GetStringBytes()) != "none" {
			q.Add("tool_choice", "needs tools")
		}
		return
	}
	q.fields = append(q.fields, ']')
	if q.choice != nil {
		q.choose()
	}
	if q.parallel != nil {
		q.keep("parallel_tool_calls", q.parallel)
	}
}

func (q *Request) tool(t *fastjson.Value, at string) (name string) {
	if !q.Object(at, t) {
		return ""
	}
	if kind := string(t.GetStringBytes("type")); kind != "function" {
		q.Add(at+".type", "is "+strconv.Quote(kind)+", which OpenAI runs itself: describe a tool of type function, and run it in the client")
		return ""
	}
	called, _ := q.Name(at+".name", t.Get("name"))
	q.fields = chat.AppendString(append(q.fields, `{"type":"function","function":{"name":`...), called)
	if d := t.Get("description"); d != nil && d.Type() != fastjson.TypeNull {
		text, _ := q.Text(at+".description", d)
		q.fields = chat.AppendString(append(q.fields, `,"description":`...), text)
	}
	if p := t.Get("parameters"); p != nil && p.Type() != fastjson.TypeNull && q.Object(at+".parameters", p) {
		q.fields = chat.AppendValue(append(q.fields, `,"parameters":`...), p)
	}
	if s := t.Get("strict"); s != nil && q.Flag(at+".strict", s) {
		q.fields = append(q.fields, `,"strict":true`...)
	}
	q.fields = append(q.fields, "}}"...)
	return string(called)
}

// allowed returns the functions that tool_choice allows, where it names some.
func (q *Request) allowed() (names []string, only bool) {
	if string(q.choice.GetStringBytes("type")) != "allowed_tools" {
		return nil, false
	}
	for _, t := range q.choice.GetArray("tools") {
		names = append(names, string(t.GetStringBytes("name")))
	}
	return names, true
}

// choose translates how tools are to be used.
func (q *Request) choose() {
	mode := q.choice
	switch q.choice.Type() {
	case fastjson.TypeString:
	case fastjson.TypeObject:
		switch string(q.choice.GetStringBytes("type")) {
		case "function":
			name, _ := q.Name("tool_choice.name", q.choice.Get("name"))
			q.fields = chat.AppendString(append(q.fields, `,"tool_choice":{"type":"function","function":{"name":`...), name)
			q.fields = append(q.fields, "}}"...)
			return
		case "allowed_tools":
			mode = q.choice.Get("mode")
		default:
			q.Add("tool_choice.type", "must be function or allowed_tools")
			return
		}
	}
	switch text := string(mode.GetStringBytes()); text {
	case "auto", "none", "required":
		q.fields = append(append(append(q.fields, `,"tool_choice":"`...), text...), '"')
	default:
		q.Add("tool_choice", "must be auto, none, required, or an object that names a function")
	}
}

// repeat writes what the answer repeats of the request.
func (q *Request) repeat() {
	e := append(q.echo[:0], `"background":false,"previous_response_id":null,"service_tier":"default","store":false,"truncation":"disabled","instructions":`...)
	e = append(chat.AppendValue(e, q.instructions), ',')
	for _, f := range repeated {
		e = append(append(append(e, '"'), f.name...), `":`...)
		if v := q.told[f.name]; v != nil {
			e = append(chat.AppendValue(e, v), ',')
		} else {
			e = append(append(e, f.usual...), ',')
		}
	}
	e = append(e, `"parallel_tool_calls":`...)
	e = strconv.AppendBool(e, q.parallel == nil || q.parallel.GetBool())
	e = append(e, `,"tool_choice":`...)
	if q.choice == nil {
		e = append(e, `"auto"`...)
	} else {
		e = chat.AppendValue(e, q.choice)
	}
	e = append(e, `,"tools":`...)
	if q.tools == nil {
		e = append(e, "[]"...)
	} else {
		e = chat.AppendValue(e, q.tools)
	}
	e = chat.AppendValue(append(e, `,"reasoning":{"effort":`...), q.reasoning.Get("effort"))
	e = chat.AppendValue(append(e, `,"summary":`...), q.reasoning.Get("summary"))
	e = append(e, `},"text":`...)
	if f := q.text.Get("format"); f == nil || f.Type() != fastjson.TypeObject {
		e = append(e, `{"format":{"type":"text"}}`...)
	} else {
		e = chat.AppendValue(e, q.text)
	}
	q.echo = append(e, ',')
}
