// Package grammar turns a JSON schema into a grammar in GBNF, llama.cpp's form, by which the engine makes
// a model write JSON of that schema and nothing else. It is pure.
//
// What comes out conforms to the schema, but not everything that conforms can come out: properties are
// written in the schema's order; beside declared properties no others; oneOf is read as anyOf, so an
// answer may conform to more than one; a number has at most 16 digits on each side of its point. White
// space is optional and bounded, so that a model cannot spend its tokens on it.
//
// Understood: type, enum, const, properties, required, additionalProperties, items, prefixItems, minItems,
// maxItems, minLength, maxLength, pattern (in Go's syntax, without look-around), format (date, time,
// date-time, uuid), minimum, maximum, exclusiveMinimum and exclusiveMaximum of integers, anyOf, oneOf,
// allOf of one, and $ref inside the document, recursion included. Annotations are passed over. Everything
// else is refused by name: a constraint that is not kept must not be taken in silence.
//
// Repetitions of what may be empty are written in a form that can be read in one way; enums share what they begin with.
// What can still be read in too many ways is refused, and a Guard watches over it while an answer is written.
//
// Calls are the grammars of calls of functions, in the form of a family of models. There, a schema that is not strict
// is kept to as far as it is understood: its unknown keywords are passed over, and what cannot be kept is any value of its type.
//
// actors/llamacpp/openai and actors/llamacpp/tools call it. It imports cluster/spec and the standard library only.
package grammar
