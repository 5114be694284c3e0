package chat

// Roles of messages.
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
)

// A piece is a part of a message's content. Its bytes belong to the request that is read.
type piece struct {
	image  bool
	b      []byte // a text, or an image's URL
	detail []byte
}

// A Conversation collects the messages of a chat. What it is given must stay as it is
// until List.
type Conversation struct {
	out []byte // messages that are whole, as JSON

	role      string // of the message that is being written; empty: there is none
	pieces    []piece
	reasoning []byte
	calls     []byte
	later     []piece // images of tools' results, which a user's message shows
	last      string  // role of the last message
	called    bool    // the last message calls tools
}

// Begin begins a message of role. One that is of that role already goes on, unless apart
// says that the two are separate.
func (c *Conversation) Begin(role string, apart bool) {
	if c.role != role || (apart && len(c.pieces) > 0) {
		c.end()
	}
	c.role = role
	if role == User && len(c.later) > 0 {
		c.pieces = append(c.pieces, c.later...)
		c.later = c.later[:0]
	}
}

// Text adds a text to the message that was begun.
func (c *Conversation) Text(text []byte) { c.pieces = append(c.pieces, piece{b: text}) }

// Image adds an image by its URL, which may be a data URL; detail may be nil.
func (c *Conversation) Image(url, detail []byte) {
	c.pieces = append(c.pieces, piece{image: true, b: url, detail: detail})
}

// Reasoning adds what the assistant has thought to its message.
func (c *Conversation) Reasoning(text []byte) {
	if len(c.reasoning) > 0 {
		c.reasoning = append(c.reasoning, '\n')
	}
	c.reasoning = append(c.reasoning, text...)
}

// Call adds the call of a tool to the assistant's message; arguments are JSON.
func (c *Conversation) Call(id, name, arguments []byte) {
	if len(c.calls) > 0 {
		c.calls = append(c.calls, ',')
	}
	c.calls = AppendString(append(c.calls, `{"id":`...), id)
	c.calls = AppendString(append(c.calls, `,"type":"function","function":{"name":`...), name)
	c.calls = AppendString(append(c.calls, `,"arguments":`...), arguments)
	c.calls = append(c.calls, "}}"...)
}

// Result adds a tool's answer to a call. Its images are shown by the user's next message,
// because a tool's message holds text alone.
func (c *Conversation) Result(id, text []byte, images ...[]byte) {
	c.end()
	c.next("tool")
	c.out = AppendString(append(c.out, `,"tool_call_id":`...), id)
	c.out = AppendString(append(c.out, `,"content":`...), text)
	c.out = append(c.out, '}')
	for _, url := range images {
		c.later = append(c.later, piece{image: true, b: url})
	}
}

// Open tells whether the last message is the assistant's, and can be gone on with.
func (c *Conversation) Open() bool {
	if c.role != "" {
		return c.role == Assistant && len(c.calls) == 0
	}
	return len(c.later) == 0 && c.last == Assistant && !c.called
}

// Empty tells whether there is no message yet.
func (c *Conversation) Empty() bool { return len(c.out) == 0 && c.role == "" }

// List appends the messages as a JSON array.
func (c *Conversation) List(dst []byte) []byte {
	c.end()
	if len(c.later) > 0 {
		c.Begin(User, false)
		c.end()
	}
	dst = append(dst, '[')
	return append(append(dst, c.out...), ']')
}

func (c *Conversation) next(role string) {
	if len(c.out) > 0 {
		c.out = append(c.out, ',')
	}
	c.out = append(append(c.out, `{"role":"`...), role...)
	c.out = append(c.out, '"')
	c.last, c.called = role, false
}

// end writes the message that was begun.
func (c *Conversation) end() {
	if c.role == "" {
		return
	}
	c.next(c.role)
	c.out = append(c.out, `,"content":`...)
	c.content()
	if len(c.reasoning) > 0 {
		c.out = AppendString(append(c.out, `,"reasoning_content":`...), c.reasoning)
	}
	if len(c.calls) > 0 {
		c.out = append(append(c.out, `,"tool_calls":[`...), c.calls...)
		c.out = append(c.out, ']')
		c.called = true
	}
	c.out = append(c.out, '}')
	c.role, c.pieces, c.reasoning, c.calls = "", c.pieces[:0], c.reasoning[:0], c.calls[:0]
}

// content writes texts alone as one string, because that is what every engine reads.
func (c *Conversation) content() {
	if len(c.pieces) == 0 && len(c.calls) > 0 {
		c.out = append(c.out, "null"...)
		return
	}
	images := false
	for _, p := range c.pieces {
		images = images || p.image
	}
	if !images {
		c.out = append(c.out, '"')
		for i, p := range c.pieces {
			if i > 0 {
				c.out = append(c.out, '\\', 'n')
			}
			c.out = AppendText(c.out, p.b)
		}
		c.out = append(c.out, '"')
		return
	}
	for i, p := range c.pieces {
		c.out = append(c.out, "[,"[min(i, 1)])
		if !p.image {
			c.out = AppendString(append(c.out, `{"type":"text","text":`...), p.b)
			c.out = append(c.out, '}')
			continue
		}
		c.out = AppendString(append(c.out, `{"type":"image_url","image_url":{"url":`...), p.b)
		if len(p.detail) > 0 {
			c.out = AppendString(append(c.out, `,"detail":`...), p.detail)
		}
		c.out = append(c.out, "}}"...)
	}
	c.out = append(c.out, ']')
}
