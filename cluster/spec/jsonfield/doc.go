// Package jsonfield sets one field of a JSON body, every other byte of which stays as it was.
//
// The gateway and the node that serves splice what they document, by the same rules. It
// imports the standard library alone.
package jsonfield
