// Package custom has the presets that a node's operator describes in the node's file: what is
// run, and which options a deployment may set. It checks them, reads a deployment's options and
// makes the command's arguments and environment of both. It is pure: no program is looked for or
// started here.
//
// actors/engine runs the commands; node/config reads the descriptions. It may import cluster/spec only.
//
// Whoever may deploy must not thereby run commands. So a deployment's text reaches an argument
// only as the value of an option that the operator has described, and only after the option's
// type has read it: numbers are written anew, words must be listed, and free text has letters,
// digits and a few signs that neither a shell nor an option parser gives a meaning, begins with a
// letter or a digit, and has a bounded length. It is never a part of another argument than its
// flag's. What takes a placeholder's place is not searched for placeholders again.
package custom
