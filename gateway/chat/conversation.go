package chat

// Roles of messages.
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
)

// An Image is one by its URL, or by its data in base64.
type Image struct {
	URL         []byte
	Media, Data []byte // of a data URL, which is put together as it is written: they are long
	Detail      []byte
}

// A piece is a part of a message's content. Its bytes belong to the request that is read.
type piece struct {
	text  []byte
	image *Image
}

// A Conversation writes the messages of a chat. What it is given must stay as it is
// until End.
type Conversation struct {
	out   []byte // what stands before, and messages that are whole, as JSON
	start int    // where those begin

	role      string // of the message that is being written; empty: there is none
	pieces    []piece
	reasoning []byte
	calls     []byte
	later     []piece // images of tools' results, which a user's message shows
	last      string  // role of the last message
	called    bool    // the last message calls tools
}

// Start has the messages written behind dst, as a JSON array.
func (c *Conversation) Start(dst []byte) {
	c.out = append(dst, '[')
	c.start = len(c.out)
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
func (c *Conversation) Text(text []byte) { c.pieces = append(c.pieces, piece{text: text}) }

// Image adds an image to the message that was begun.
func (c *Conversation) Image(i *Image) { c.pieces = append(c.pieces, piece{image: i}) }

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
func (c *Conversation) Result(id, text []byte, images ...*Image) {
	c.end()
	c.next("tool")
	c.out = AppendString(append(c.out, `,"tool_call_id":`...), id)
	c.out = AppendString(append(c.out, `,"content":`...), text)
	c.out = append(c.out, '}')
	for _, i := range images {
		c.later = append(c.later, piece{image: i})
	}
}

// Open tells whether the last message is the assistant's, and can be gone on with.
func (c *Conversation) Open() bool {
	if c.role != "" {
		return c.role == Assistant && len(c.calls) == 0
	}
	return len(c.later) == 0 && c.last == Assistant && !c.called
}

// End returns what Start was given with the messages behind it.
func (c *Conversation) End() []byte {
	c.end()
	if len(c.later) > 0 {
		c.Begin(User, false)
		c.end()
	}
	return append(c.out, ']')
}

func (c *Conversation) next(role string) {
	if len(c.out) > c.start {
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
		images = images || p.image != nil
	}
	if !images {
		c.out = append(c.out, '"')
		for i, p := range c.pieces {
			if i > 0 {
				c.out = append(c.out, '\\', 'n')
			}
			c.out = AppendText(c.out, p.text)
		}
		c.out = append(c.out, '"')
		return
	}
	for i, p := range c.pieces {
		c.out = append(c.out, "[,"[min(i, 1)])
		if p.image == nil {
			c.out = AppendString(append(c.out, `{"type":"text","text":`...), p.text)
			c.out = append(c.out, '}')
			continue
		}
		c.show(p.image)
	}
	c.out = append(c.out, ']')
}

func (c *Conversation) show(i *Image) {
	c.out = append(c.out, `{"type":"image_url","image_url":{"url":"`...)
	if i.URL != nil {
		c.out = AppendText(c.out, i.URL)
	} else {
		c.out = append(AppendText(append(c.out, "data:"...), i.Media), ";base64,"...)
		c.out = AppendText(c.out, i.Data)
	}
	c.out = append(c.out, '"')
	if len(i.Detail) > 0 {
		c.out = AppendString(append(c.out, `,"detail":`...), i.Detail)
	}
	c.out = append(c.out, "}}"...)
}
