// Package rollout decides what becomes of a deployment's canary by how the requests of both
// versions have fared. It is a pure function; whoever calls it gathers what it goes by.
package rollout
