// Package beginning says how prompts are divided where their beginnings have names: what
// gateways that name them and engines that announce them must agree on.
//
// gateway/prefix and actors/llamacpp/prefix build the names, each as its side needs them.
// It imports nothing of this module.
package beginning
