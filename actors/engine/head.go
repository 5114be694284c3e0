package engine

import (
	"net/http"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Head is what a request for an engine has beside its path and body. It is the node's own word: of what a client
// has sent besides, an engine gets nothing. What is empty is not said.
type Head struct {
	Method      string // POST where it is empty
	ContentType string // application/json where it is empty
	Stream      bool   // the answer is wanted as events, piece by piece
	RequestID   string // that engines are to log
	TraceParent string // as W3C has it
	HeadLength  string // of the JSON that a body of KServe's begins with, bytes
	// CacheSalt tells an engine of the node's own whose beginnings of prompts, kept from earlier requests, this one may
	// use. Engines that know cache_salt get it as that; those elsewhere get none.
	CacheSalt string
	Adapter   string // that the request is for, one that is loaded; empty: none
	// TokenCounts wants the tokens of each input of a request for vectors told, which engines of the node's own do.
	TokenCounts bool
}

// isJSON tells whether the body is one object; so it is where nothing is said.
func (h *Head) isJSON() bool { return h.ContentType == "" || isJSON(h.ContentType) }

func (h *Head) method() string {
	if h.Method != "" {
		return h.Method
	}
	return http.MethodPost
}

// Headers by which embedded engines are told what no client may.
const (
	cacheSalt   = "X-Lotabots-Cache-Salt"
	tokenCounts = "X-Lotabots-Token-Counts"
	adapterName = "X-Lotabots-Adapter"
)

// fields gives the header that an engine gets of a client's request, each name once.
func (w *web) fields(h *Head, set func(name, value string)) {
	set("User-Agent", "lotabots")
	for name, values := range w.always {
		if len(values) > 0 {
			set(name, values[0])
		}
	}
	kind := h.ContentType
	if kind == "" {
		kind = "application/json"
	}
	set("Content-Type", kind)
	say := func(name, value string) {
		if value != "" {
			set(name, value)
		}
	}
	if h.Stream {
		set("Accept", "text/event-stream")
	}
	if w.foreign {
		anyProgram(h.RequestID, set)
	} else {
		say(requestID, h.RequestID)
	}
	say("Traceparent", h.TraceParent)
	say(spec.HeadLengthHeader, h.HeadLength)
	if w.adapted {
		say(adapterName, h.Adapter)
		if h.TokenCounts {
			set(tokenCounts, "1")
		}
	}
	if w.salted {
		say(cacheSalt, h.CacheSalt)
	}
}
