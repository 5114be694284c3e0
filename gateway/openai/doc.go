// Package openai knows the shape of OpenAI's API: what of a request's body the
// gateway has to read, the form of its errors, and where an answer tells its usage.
//
// The gateway and its relay call it. Everything here is a pure function of
// bytes; a body passes on as it came.
package openai
