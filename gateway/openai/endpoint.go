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
	Transcriptions
	Translations
	Speech
	Images
	KServe
	Messages    // Anthropic's, as chat completions
	Responses   // as chat completions
	CountTokens // of a conversation

	endpointCount
)

// A BodyKind is how an endpoint's requests are written.
type BodyKind uint8

// The kinds of bodies.
const (
	JSON    BodyKind = iota // one object, which names the model
	Form                    // multipart/form-data, of which a field does
	Tensors                 // KServe's: the path names the model, and the engine reads the rest
)

// A row says all that is particular about one endpoint. Fields that are not among
// those that it reads are nobody's business and pass as they came.
type row struct {
	path    string // at the engine
	name    string // in metrics, traces and logs
	body    BodyKind
	able    spec.Ability // that the engine must have
	streams bool         // an answer may come as a stream of events
	raw     bool         // answers that are streamed are not in the form of completions, and pass as they come
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
	Chat: {path: chatPath, name: "chat", able: spec.AbleChat, streams: true, reads: fMessages, needs: ofChats},
	Completions: {path: "/v1/completions", name: "completions", able: spec.AbleComplete, streams: true, reads: fPrompt,
		needs: []need{{fPrompt, "prompt", "is missing"}}},
	Embeddings: {path: "/v1/embeddings", name: "embeddings", able: spec.AbleEmbed, reads: fInput,
		needs: []need{{fInput, "input", "is missing"}}},
	Rerank: {path: "/v1/rerank", name: "rerank", able: spec.AbleRerank, reads: fQuery | fDocuments | fTopN | fReturn,
		needs: []need{{fQuery, "query", "is missing: say what the documents are compared with"}, {fDocuments, "documents", "is missing: send at least one document"}}},
	Transcriptions: {path: "/v1/audio/transcriptions", name: "transcriptions", body: Form, able: spec.AbleTranscribe, streams: true, raw: true, needs: ofSounds},
	Translations:   {path: "/v1/audio/translations", name: "translations", body: Form, able: spec.AbleTranscribe, streams: true, raw: true, needs: ofSounds},
	Speech: {path: "/v1/audio/speech", name: "speech", able: spec.AbleSpeak, streams: true, raw: true, reads: fSpoken,
		needs: []need{{fSpoken, "input", "is missing: send the text to be spoken"}}},
	Images: {path: "/v1/images/generations", name: "images", able: spec.AbleDraw, streams: true, raw: true, reads: fPrompt,
		needs: []need{{fPrompt, "prompt", "is missing"}}},
	KServe:      {name: "kserve", body: Tensors, able: spec.AbleKServe},
	Messages:    {path: chatPath, name: "messages", able: spec.AbleChat, streams: true, reads: fMessages, needs: ofChats},
	Responses:   {path: chatPath, name: "responses", able: spec.AbleChat, streams: true, reads: fMessages, needs: ofChats},
	CountTokens: {path: "/tokenize", name: "count_tokens", able: spec.AbleChat, reads: fMessages, needs: ofChats},
}

var ofSounds = []need{{fFile, "file", "is missing: send the audio as a file of the form"}}

const chatPath = "/v1/chat/completions"

var ofChats = []need{{fMessages, "messages", "is missing: send at least one message"}}

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

// Path is where the engine serves the endpoint; KServe's names the model.
func (e Endpoint) Path() string { return rows[e].path }

// String names the endpoint in metrics and logs.
func (e Endpoint) String() string { return rows[e].name }

// Body tells how requests are written.
func (e Endpoint) Body() BodyKind { return rows[e].body }

// Prompt names the field that has what the model reads.
func (e Endpoint) Prompt() string {
	switch reads := rows[e].reads; {
	case reads&fMessages != 0:
		return "messages"
	case reads&fPrompt != 0:
		return "prompt"
	}
	return "input"
}

// Able is what an engine must be able to.
func (e Endpoint) Able() spec.Ability { return rows[e].able }

// Streams tells whether an answer may be asked for as a stream.
func (e Endpoint) Streams() bool { return rows[e].streams }

// Raw tells whether answers that are streamed pass as they come, whatever they are.
func (e Endpoint) Raw() bool { return rows[e].raw }
