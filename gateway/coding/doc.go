// Package coding knows HTTP's content codings: which one a client takes, how answers are
// compressed by it, and how bodies are restored without becoming larger than they may.
//
// The gateway calls it. Everything here is a function of bytes; it imports the
// compressors and the catalogue of errors.
package coding
