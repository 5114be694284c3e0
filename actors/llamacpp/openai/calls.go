package openai

// A CallDelta is the beginning of a call, with its ID and Name, or a piece of its arguments.
type CallDelta struct {
	Index int
	Call
}

type callPart struct {
	Index    *int         `json:"index,omitempty"` // in a stream
	ID       string       `json:"id,omitempty"`
	Type     string       `json:"type,omitempty"`
	Function functionPart `json:"function"`
}

type functionPart struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

func callParts(calls []CallDelta, streamed bool) []callPart {
	out := make([]callPart, len(calls))
	for i, c := range calls {
		out[i] = callPart{ID: c.ID, Function: functionPart{c.Name, c.Arguments}}
		if c.Name != "" {
			out[i].Type = "function"
		}
		if streamed {
			out[i].Index = &calls[i].Index
		}
	}
	return out
}

// AddCall puts a piece into the calls that came before it.
func AddCall(calls []CallDelta, d CallDelta) []CallDelta {
	if d.Index == len(calls) {
		return append(calls, d)
	}
	calls[d.Index].Arguments += d.Arguments
	return calls
}
