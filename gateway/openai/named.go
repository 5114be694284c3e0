package openai

import "github.com/valyala/fastjson"

// ModelOf is the model that a body names which may be no JSON, or not all of it; empty: it names
// none in its fields as far as they can be read.
func ModelOf(body []byte) []byte {
	w := within(body, skipSpace(body, 0), '{')
	for {
		key, ok := w.next()
		if !ok {
			return nil
		}
		at := w.at
		if w.skip(); w.bad {
			return nil
		}
		if string(key) == "model" {
			v, err := fastjson.ParseBytes(body[at:w.at])
			if err != nil {
				return nil
			}
			return v.GetStringBytes()
		}
	}
}
