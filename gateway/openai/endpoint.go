package openai

import "github.com/lotabots/lotabots/cluster/spec"

// An Endpoint is one of the inference operations: a row of the table below.
type Endpoint uint8

// The endpoints.
const (
	Chat Endpoint = iota
	Completions
	Embeddings
	Rerank

	endpointCount
)

// A BodyKind is how an endpoint's requests are written.
type BodyKind uint8

// The kinds of bodies.
const (
	JSON BodyKind = iota // one object, which names the model
)

// A row says all that is particular about one endpoint. Fields that are not among
// those that it reads are nobody's business and pass as they came.
type row struct {
	path    string // at the engine
	name    string // in metrics, traces and logs
	body    BodyKind
	able    spec.Ability // that the engine must have
	streams bool         // an answer may come as a stream of events
	needs   []need
	reads   uint32 // of the fields that only some endpoints have
}

// A need is a field without which the request cannot be served.
type need struct {
	bit     uint32
	param   string
	missing string // what is said of it where it is missing
}

var rows = [endpointCount]row{
	Chat: {path: "/v1/chat/completions", name: "chat", able: spec.AbleChat, streams: true, reads: fMessages,
		needs: []need{{fMessages, "messages", "is missing: send at least one message"}}},
	Completions: {path: "/v1/completions", name: "completions", able: spec.AbleComplete, streams: true, reads: fPrompt,
		needs: []need{{fPrompt, "prompt", "is missing"}}},
	Embeddings: {path: "/v1/embeddings", name: "embeddings", able: spec.AbleEmbed, reads: fInput,
		needs: []need{{fInput, "input", "is missing"}}},
	Rerank: {path: "/v1/rerank", name: "rerank", able: spec.AbleRerank, reads: fQuery | fDocuments | fTopN | fReturn,
		needs: []need{{fQuery, "query", "is missing: say what the documents are compared with"}, {fDocuments, "documents", "is missing: send at least one document"}}},
}

// Endpoints lists them all.
func Endpoints() []Endpoint {
	all := make([]Endpoint, endpointCount)
	for i := range all {
		all[i] = Endpoint(i)
	}
	return all
}

// EndpointCount is how many there are.
const EndpointCount = int(endpointCount)

// Path is where the engine serves the endpoint.
func (e Endpoint) Path() string { return rows[e].path }

// String names the endpoint in metrics and logs.
func (e Endpoint) String() string { return rows[e].name }

// Body tells how requests are written.
func (e Endpoint) Body() BodyKind { return rows[e].body }

// Able is what an engine must be able to.
func (e Endpoint) Able() spec.Ability { return rows[e].able }

// Streams tells whether an answer may be asked for as a stream.
func (e Endpoint) Streams() bool { return rows[e].streams }
