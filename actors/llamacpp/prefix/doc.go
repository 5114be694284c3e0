// Package prefix names the beginnings of prompts whose work an engine still holds, so that whoever
// places a request can tell how much of it is done already, without the engine's tokeniser.
//
// A name is the end of a chain of SHA-256 sums. The chain starts with what kind of prompt it is and
// with the tenant's salt, and takes in one piece after another:
//
//	start  = SHA-256("lotabots/prefix/1/" KIND NUL SALT)          KIND is chat, text or tokens
//	chat:    sum = SHA-256(sum, uint32le(len(role)), role, content)   after each message
//	text:    sum = SHA-256(sum, next 256 bytes)                       after each whole block
//	tokens:  sum = SHA-256(sum, next 64 tokens, each int32le)         after each whole block
//	         of blocks, those that Announced tells have names: the 1st, 2nd, 3rd, 4th, 6th, 8th, 12th, to the 256th
//	name   = the first 8 bytes of sum, in hexadecimal
//
// The role developer counts as system, and the text parts of a message are joined. Each tool that the model is shown is
// a message of the role tools before all others, its content the tool's JSON as the request has it. A message's calls
// follow its content: NUL, the function's name, NUL, its arguments, for each. testdata has
// examples for other implementations. Two prompts with one name by accident cost a wrong estimate and
// nothing more: an engine compares tokens before it reuses anything.
//
// An Index holds the names of one engine, and tells a reader what has changed since it last asked.
//
// actors/llamacpp calls it. It imports the standard library only, and may not import a room's package.
package prefix
