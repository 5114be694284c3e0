// Package form reads bodies of multipart/form-data where they lie: nothing of a file is
// copied to find the fields beside it.
//
// The gateway looks for the model's name and what else routing needs; the node that
// serves replaces the name where its engine knows the model by another. Both read by the
// same rules, which are stricter than RFC 7578, because engines read bodies by rules of
// their own: what could be read in two ways is refused. It imports the standard library
// alone.
package form
