// Package access decides who may do what: the verbs that a permission can name,
// the built-in roles, and the grants of a caller, which tell for a verb and a
// resource whether it is allowed and by what, or what is missing.
//
// gateway/auth resolves bindings and scopes to grants; the gateway asks them and
// shows the catalogue. It imports nothing of the project, does no I/O and keeps
// no state: everything in it is a value that is never changed once made.
//
// A permission is a verb and a pattern of resources, "infer on model:llama-*". A
// grant is a role's permissions as one binding gives them: in the whole cluster,
// or in one tenant, where it reaches what the tenant owns and what is shared by
// all (see Info.Shared). Nothing denies: what no grant allows is refused.
package access
